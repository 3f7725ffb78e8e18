// SPDX-License-Identifier: MIT
#include "core/net/listener.h"

#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

#include "tests/core/net/net_test.h"

namespace relay {
namespace {

using std::chrono::milliseconds;

struct ListenerTest : NetTest {};

TEST_F(ListenerTest, TellsThePortThatTheSystemChose) {
  auto listener = Listen();
  EXPECT_NE(listener->bound().port(), 0);
  EXPECT_EQ(listener->bound().HostString(), "127.0.0.1");
  RawClient client(listener->bound());
  EXPECT_TRUE(client.connected());
  EXPECT_NE(TakeAccepted(), nullptr);
}

TEST_F(ListenerTest, SeveralShareAPort) {
  auto first = Listen();
  ListenOptions same;
  same.address = first->bound();
  auto second = Listen(std::move(same));
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->bound(), first->bound());
}

TEST_F(ListenerTest, SaysWhichAddressIsTakenAndWhatToDo) {
  Socket other = Socket::Open(Loopback());
  ASSERT_EQ(::bind(other.fd(), Loopback().data(), Loopback().size()), 0);
  ASSERT_EQ(::listen(other.fd(), 1), 0);
  ListenOptions options;
  options.address = other.LocalAddress();
  auto opened = Listener::Open(loop, std::move(options), [](auto) {});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().party, Party::kRelay);
  EXPECT_EQ(opened.error().what,
            "cannot listen on " + other.LocalAddress().ToString() +
                ": another program uses it; stop that one or choose another port");
}

TEST_F(ListenerTest, SaysThatTheMachineHasNoSuchAddress) {
  ListenOptions options;
  options.address = *Address::FromLiteral("192.0.2.1", 0);
  auto opened = Listener::Open(loop, std::move(options), [](auto) {});
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().what.find("192.0.2.1:0: this machine has no such address"),
            std::string::npos);
}

TEST_F(ListenerTest, TheIpv6WildcardTakesIpv4ToldAsSuch) {
  ListenOptions options;
  options.address = *Address::FromLiteral("::", 0);
  auto opened = Listener::Open(loop, std::move(options),
                               [&](auto transport) { accepted.push_back(std::move(transport)); });
  bool has_ipv6 = Socket::Open(*Address::FromLiteral("::1", 0)).open();
  ASSERT_EQ(opened.has_value(), has_ipv6);
  if (!has_ipv6) return;
  RawClient client(Loopback((*opened)->bound().port()));
  ASSERT_TRUE(client.connected());
  auto transport = TakeAccepted();
  ASSERT_NE(transport, nullptr);
  EXPECT_TRUE(transport->peer().starts_with("127.0.0.1:")) << transport->peer();
}

TEST_F(ListenerTest, R34AcceptingWaitsAtTheLimitAndGoesOnWhenAConnectionEnds) {
  ListenOptions options;
  options.connections = 2;
  auto listener = Listen(std::move(options));
  RawClient first(listener->bound());
  RawClient second(listener->bound());
  RawClient third(listener->bound());
  ASSERT_TRUE(TurnUntil(loop, [&] { return accepted.size() == 2; }));
  TurnFor(loop, 20);
  EXPECT_EQ(accepted.size(), 2U);
  EXPECT_EQ(listener->connections(), 2U);
  accepted.pop_back();
  EXPECT_EQ(listener->connections(), 1U);
  EXPECT_TRUE(TurnUntil(loop, [&] { return accepted.size() == 2; }));
}

TEST_F(ListenerTest, ConnectionsMayOutliveIt) {
  auto listener = Listen();
  RawClient client(listener->bound());
  auto transport = TakeAccepted();
  listener.reset();
  Recorder seen;
  transport->Start(seen);
  client.Send("still here");
  EXPECT_TRUE(TurnUntil(loop, [&] { return seen.text == "still here"; }));
  transport.reset();
}

TEST_F(ListenerTest, ClosingServesWhoWasLetInAndNobodyElse) {
  auto listener = Listen();
  Address address = listener->bound();
  RawClient waiting(address);  // in the kernel's queue: no turn was made
  ASSERT_TRUE(waiting.connected());
  listener->Close();
  EXPECT_EQ(accepted.size(), 1U);
  RawClient late(address);
  EXPECT_FALSE(late.connected());
  listener->Close();
  TurnFor(loop, 5);
}

TEST_F(ListenerTest, R33ConnectionsSendSmallPiecesAtOnce) {
  auto listener = Listen();
  RawClient client(listener->bound());
  auto transport = TakeAccepted();
  // The highest descriptor is the accepted one's.
  int probe = ::dup(0);
  int on = 0;
  socklen_t size = sizeof on;
  bool found = false;
  for (int fd = 3; fd < probe + 8; ++fd) {
    sockaddr_storage peer{};
    socklen_t peer_size = sizeof peer;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_size) != 0) continue;
    if (fd == client.fd()) continue;
    ASSERT_EQ(::getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
    EXPECT_EQ(on, 1);
    found = true;
  }
  ::close(probe);
  EXPECT_TRUE(found);
}

#if !__has_feature(undefined_behavior_sanitizer)  // its own checks need descriptors

// Lowers the limit of descriptors to what is open now, until it dies.
class NoMoreDescriptors {
 public:
  NoMoreDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    int next = ::dup(0);
    ::close(next);
    rlimit low{.rlim_cur = static_cast<rlim_t>(next), .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &low);
  }
  ~NoMoreDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST_F(ListenerTest, R34WithoutDescriptorsItPausesWithoutSpinningAndRecovers) {
  auto listener = Listen();
  loop.Turn();
  RawClient client(listener->bound());
  {
    NoMoreDescriptors none;
    TurnFor(loop, 100);
    EXPECT_EQ(listener->shortages(), 1U);
    After(milliseconds(120));
    TurnFor(loop, 100);
    EXPECT_EQ(listener->shortages(), 2U);
    EXPECT_TRUE(accepted.empty());
  }
  After(milliseconds(120));
  EXPECT_NE(TakeAccepted(), nullptr);
}

#endif

}  // namespace
}  // namespace relay
