// SPDX-License-Identifier: MIT
#include "core/net/dialer.h"

#include <gtest/gtest.h>

#include "tests/core/net/net_test.h"

namespace relay {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Dialled = Result<std::unique_ptr<Transport>>;

// A port on which nothing listens: it was free a moment ago.
uint16_t ClosedPort() {
  Socket socket = Socket::Open(Loopback());
  EXPECT_EQ(::bind(socket.fd(), Loopback().data(), Loopback().size()), 0);
  return socket.LocalAddress().port();
}

// Listens but is full: a further connection attempt gets no answer.
struct Mute {
  Mute() : socket(Socket::Open(Loopback())) {
    EXPECT_EQ(::bind(socket.fd(), Loopback().data(), Loopback().size()), 0);
    EXPECT_EQ(::listen(socket.fd(), 0), 0);
    for (auto& filler : fillers) {
      filler = Socket::Open(Loopback());
      Address to = socket.LocalAddress();
      EXPECT_LE(::connect(filler.fd(), to.data(), to.size()), 0);
    }
  }
  Address address() const { return socket.LocalAddress(); }
  Socket socket;
  std::array<Socket, 4> fillers;
};

struct DialerTest : NetTest {
  std::vector<Address> answer = {Loopback()};
  Resolver resolver{loop, [this](const std::string&) { return answer; }};

  Running<Dialled> Begin(Endpoint endpoint, Duration limit = seconds(5)) {
    return Running<Dialled>(loop, Dial(loop, resolver, std::move(endpoint), loop.Now() + limit));
  }
  static Endpoint To(std::string host, uint16_t port) {
    Endpoint endpoint;
    endpoint.host = std::move(host);
    endpoint.port = port;
    return endpoint;
  }
};

TEST_F(DialerTest, ConnectsToALiteralWithoutALookUp) {
  auto listener = Listen();
  auto dial = Begin(To("127.0.0.1", listener->bound().port()));
  ASSERT_TRUE(TurnUntil(loop, [&] { return dial.done(); }));
  ASSERT_TRUE(dial.result()) << dial.result().error().what;
  EXPECT_EQ(resolver.lookups(), 0U);
  Transport& client = **dial.result();
  EXPECT_EQ(client.peer(), listener->bound().ToString());
  auto server = TakeAccepted();
  Recorder at_client;
  Recorder at_server;
  client.Start(at_client);
  server->Start(at_server);
  Buffer text;
  text.AppendCopy("hello");
  client.Write(text);
  EXPECT_TRUE(TurnUntil(loop, [&] { return at_server.text == "hello"; }));
}

TEST_F(DialerTest, ConnectsToAName) {
  auto listener = Listen();
  auto dial = Begin(To("api.test", listener->bound().port()));
  ASSERT_TRUE(TurnUntil(loop, [&] { return dial.done(); }));
  EXPECT_TRUE(dial.result());
  EXPECT_EQ(resolver.lookups(), 1U);
}

TEST_F(DialerTest, SaysWhomItCouldNotReach) {
  uint16_t port = ClosedPort();
  auto dial = Begin(To("api.test", port));
  ASSERT_TRUE(TurnUntil(loop, [&] { return dial.done(); }));
  ASSERT_FALSE(dial.result());
  const Error& why = dial.result().error();
  EXPECT_EQ(why.party, Party::kUpstream);
  EXPECT_EQ(why.fault, Fault::kConnect);
  EXPECT_TRUE(why.retryable);
  EXPECT_EQ(why.what, "cannot connect to api.test:" + std::to_string(port) +
                          " (127.0.0.1): connection refused");
}

TEST_F(DialerTest, TriesTheNextAddressAfterARefusal) {
  auto listener = Listen();
  answer = {*Address::FromLiteral("127.0.0.2", 0), Loopback()};
  auto dial = Begin(To("api.test", listener->bound().port()));
  ASSERT_TRUE(TurnUntil(loop, [&] { return dial.done(); }));
  ASSERT_TRUE(dial.result());
  EXPECT_TRUE((*dial.result())->peer().starts_with("127.0.0.1:"));
}

TEST_F(DialerTest, TriesTheNextAddressBesideOneThatDoesNotAnswer) {
  Mute mute;
  ListenOptions options;
  options.address = *Address::FromLiteral("127.0.0.2", mute.address().port());
  auto listener = Listen(std::move(options));
  answer = {Loopback(), *Address::FromLiteral("127.0.0.2", 0)};
  auto dial = Begin(To("api.test", mute.address().port()));
  TurnFor(loop, 50);
  ASSERT_FALSE(dial.done());
  // The look-up takes a while of its own, on its thread; the clock goes on until the second try.
  ASSERT_TRUE(TurnUntil(loop, [&] {
    clock.Advance(milliseconds(1));
    return dial.done();
  }));
  ASSERT_TRUE(dial.result()) << dial.result().error().what;
  EXPECT_TRUE((*dial.result())->peer().starts_with("127.0.0.2:"));
}

TEST_F(DialerTest, GivesUpAtTheDeadline) {
  Mute mute;
  auto dial = Begin(To("127.0.0.1", mute.address().port()), seconds(5));
  After(seconds(4));
  EXPECT_FALSE(dial.done());
  After(seconds(2));
  ASSERT_TRUE(TurnUntil(loop, [&] { return dial.done(); }));
  ASSERT_FALSE(dial.result());
  EXPECT_EQ(dial.result().error().fault, Fault::kTimeout);
  EXPECT_TRUE(dial.result().error().retryable);
}

TEST_F(DialerTest, RefusesClosedNetsIfAskedTo) {
  auto listener = Listen();
  Endpoint endpoint = To("sneaky.test", listener->bound().port());
  endpoint.public_only = true;
  auto dial = Begin(std::move(endpoint));
  ASSERT_TRUE(TurnUntil(loop, [&] { return dial.done(); }));
  ASSERT_FALSE(dial.result());
  EXPECT_NE(dial.result().error().what.find("sneaky.test is 127.0.0.1"), std::string::npos);
}

TEST_F(DialerTest, MayBeCancelledAfterAnyTurn) {
  auto listener = Listen();
  bool finished = false;
  for (int turns = 0; turns < 200 && !finished; ++turns) {
    Resolver own(loop, [this](const std::string&) { return answer; });
    auto dial = Running<Dialled>(
        loop, Dial(loop, own, To("api.test", listener->bound().port()), loop.Now() + seconds(5)));
    for (int i = 0; i < turns; ++i) {
      loop.Turn();
      ::poll(nullptr, 0, 1);
    }
    finished = dial.done();
    dial.Cancel();
    TurnFor(loop, 2);
  }
  EXPECT_TRUE(finished);
  accepted.clear();
}

TEST_F(DialerTest, CancelledWhileConnectingItClosesItsSockets) {
  Mute mute;
  int before = ::dup(0);
  ::close(before);
  {
    auto dial = Begin(To("127.0.0.1", mute.address().port()));
    TurnFor(loop, 5);
    EXPECT_FALSE(dial.done());
  }
  int after = ::dup(0);
  ::close(after);
  EXPECT_EQ(before, after);
}

}  // namespace
}  // namespace relay
