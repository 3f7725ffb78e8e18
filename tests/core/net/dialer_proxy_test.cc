// SPDX-License-Identifier: MIT
// Dialling through an outbound proxy that is played on a loopback socket.
#include <gtest/gtest.h>

#include "core/net/dialer.h"
#include "core/net/tls.h"
#include "core/net/tls_context.h"
#include "tests/core/net/certificates.h"
#include "tests/core/net/net_test.h"

namespace relay {
namespace {

using namespace std::string_literals;
using std::chrono::seconds;
using Dialled = Result<std::unique_ptr<Transport>>;

constexpr std::string_view kStands = "HTTP/1.1 200 OK\r\n\r\n";

void WriteText(Transport& to, std::string_view text) {
  Buffer buffer;
  buffer.AppendCopy(text);
  to.Write(buffer);
}

struct DialerProxyTest : NetTest {
  std::vector<std::string> asked;  // names that were looked up
  std::vector<Address> answer = {Loopback()};
  Resolver resolver{loop, [this](const std::string& host) {
                      asked.push_back(host);
                      return answer;
                    }};
  std::unique_ptr<Listener> listener = Listen();
  std::unique_ptr<Transport> at_proxy;  // its end of our connection
  Recorder heard;                       // by the proxy

  Endpoint Through(Proxy::Kind kind) {
    Endpoint endpoint;
    endpoint.host = "api.test";
    endpoint.port = 443;
    Proxy& proxy = endpoint.proxy.emplace();
    proxy.kind = kind;
    proxy.host = "127.0.0.1";
    proxy.port = listener->bound().port();
    return endpoint;
  }
  Running<Dialled> Begin(Endpoint endpoint) {
    return Running<Dialled>(loop,
                            Dial(loop, resolver, std::move(endpoint), loop.Now() + seconds(5)));
  }
  // Takes the connection at the proxy and waits until it has heard `text`.
  void Hear(const std::string& text) {
    if (at_proxy == nullptr) {
      at_proxy = TakeAccepted();
      ASSERT_NE(at_proxy, nullptr);
      at_proxy->Start(heard);
    }
    ASSERT_TRUE(TurnUntil(loop, [&] { return heard.text.find(text) != std::string::npos; }))
        << heard.text;
  }
  void ExpectFailure(Running<Dialled>& dial, Fault fault, const std::string& what) {
    ASSERT_TRUE(TurnUntil(loop, [&] { return dial.done(); }));
    ASSERT_FALSE(dial.result());
    EXPECT_EQ(dial.result().error().party, Party::kUpstream);
    EXPECT_EQ(dial.result().error().fault, fault) << dial.result().error().what;
    EXPECT_TRUE(dial.result().error().retryable);
    EXPECT_NE(dial.result().error().what.find(what), std::string::npos)
        << dial.result().error().what;
  }
};

TEST_F(DialerProxyTest, GoesThroughAnHttpProxyThatResolvesTheName) {
  auto dial = Begin(Through(Proxy::Kind::kHttp));
  Hear("CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n");
  EXPECT_FALSE(dial.done());
  WriteText(*at_proxy, kStands);
  ASSERT_TRUE(TurnUntil(loop, [&] { return dial.done(); }));
  ASSERT_TRUE(dial.result()) << dial.result().error().what;
  EXPECT_TRUE(asked.empty());
  heard.text.clear();
  Recorder at_client;
  // Nothing is lost of what comes before somebody listens.
  WriteText(*at_proxy, "early");
  TurnFor(loop, 5);
  (*dial.result())->Start(at_client);
  WriteText(**dial.result(), "hello");
  Hear("hello");
  EXPECT_TRUE(TurnUntil(loop, [&] { return at_client.text == "early"; }));
}

TEST_F(DialerProxyTest, GoesThroughASocksProxy) {
  Endpoint endpoint = Through(Proxy::Kind::kSocks5);
  endpoint.proxy->user = Secret("alice");
  endpoint.proxy->password = Secret("s3cret");
  auto dial = Begin(std::move(endpoint));
  Hear("\5\2\0\2"s);
  WriteText(*at_proxy, "\5\2"s);
  Hear("\1\5alice\6s3cret");
  WriteText(*at_proxy, "\1\0"s);
  Hear("\5\1\0\3\x8"s + "api.test" + "\x01\xbb"s);
  WriteText(*at_proxy, "\5\0\0\1\0\0\0\0\0\0"s);
  ASSERT_TRUE(TurnUntil(loop, [&] { return dial.done(); }));
  EXPECT_TRUE(dial.result()) << dial.result().error().what;
  EXPECT_TRUE(asked.empty());
}

TEST_F(DialerProxyTest, SaysThatTheProxyIsNotThere) {
  Endpoint endpoint = Through(Proxy::Kind::kHttp);
  listener.reset();
  TurnFor(loop, 2);
  auto dial = Begin(std::move(endpoint));
  ExpectFailure(dial, Fault::kProxy, "fails: cannot connect to 127.0.0.1:");
}

TEST_F(DialerProxyTest, SaysThatTheProxyIsSilent) {
  auto dial = Begin(Through(Proxy::Kind::kHttp));
  Hear("\r\n\r\n");
  // A byte now and then does not lengthen the deadline.
  for (int i = 0; i < 4; ++i) {
    WriteText(*at_proxy, kStands.substr(static_cast<size_t>(i), 1));
    After(seconds(1));
    TurnFor(loop, 3);
  }
  EXPECT_FALSE(dial.done());
  After(seconds(2));
  ExpectFailure(dial, Fault::kProxy, "fails: it does not answer in time");
}

TEST_F(DialerProxyTest, SaysThatTheProxyHungUp) {
  auto dial = Begin(Through(Proxy::Kind::kSocks5));
  Hear("\5\1\0"s);
  at_proxy->ShutdownWrites();
  ExpectFailure(dial, Fault::kProxy, "fails: it closed the connection unasked");
}

TEST_F(DialerProxyTest, PassesOnWhatTheProxySaysOfUser) {
  auto dial = Begin(Through(Proxy::Kind::kHttp));
  Hear("\r\n\r\n");
  WriteText(*at_proxy, "HTTP/1.1 407 Who?\r\n\r\n");
  ExpectFailure(dial, Fault::kUnauthenticated, "wants a user and a password");
}

TEST_F(DialerProxyTest, TakesNoWordThatComesTooEarly) {
  auto dial = Begin(Through(Proxy::Kind::kHttp));
  Hear("\r\n\r\n");
  WriteText(*at_proxy, std::string(kStands) + "HTTP/1.1 200 Poison\r\n\r\n");
  ExpectFailure(dial, Fault::kProxy, "says more than it should");
}

TEST_F(DialerProxyTest, MayBeCancelledAfterAnyTurn) {
  bool finished = false;
  for (int turns = 0; turns < 200 && !finished; ++turns) {
    auto dial = Begin(Through(Proxy::Kind::kSocks5));
    std::vector<std::unique_ptr<Recorder>> ears;
    std::vector<std::unique_ptr<Transport>> lines;
    for (int i = 0; i < turns; ++i) {
      loop.Turn();
      ::poll(nullptr, 0, 1);
      while (!accepted.empty()) {
        ears.push_back(std::make_unique<Recorder>());
        lines.push_back(std::move(accepted.back()));
        accepted.pop_back();
        lines.back()->Start(*ears.back());
      }
      if (lines.empty()) continue;
      // Each word in a turn of its own.
      if (ears.back()->text == "\5\1\0"s) WriteText(*lines.back(), "\5\0"s);
      if (ears.back()->size > 3) WriteText(*lines.back(), "\5\0\0\1\0\0\0\0\0\0"s);
      ears.back()->size = 0;
      ears.back()->text.clear();
    }
    finished = dial.done();
    if (finished) EXPECT_TRUE(dial.result()) << dial.result().error().what;
    dial.Cancel();
    TurnFor(loop, 2);
    lines.clear();
  }
  EXPECT_TRUE(finished);
}

TEST_F(DialerProxyTest, GivesATrustedProxyOnlyAddressesThatWereLookedAt) {
  Endpoint endpoint = Through(Proxy::Kind::kHttp);
  endpoint.public_only = true;
  answer = {*Address::FromLiteral("160.79.104.10", 0)};
  auto dial = Begin(endpoint);
  Hear("CONNECT 160.79.104.10:443 HTTP/1.1");
  EXPECT_EQ(asked, std::vector<std::string>{"api.test"});
  dial.Cancel();

  answer = {*Address::FromLiteral("169.254.169.254", 0)};
  endpoint.host = "sneaky.test";
  auto sneaky = Begin(endpoint);
  ExpectFailure(sneaky, Fault::kConnect, "sneaky.test is 169.254.169.254");
  endpoint.host = "10.0.0.1";
  auto literal = Begin(endpoint);
  ExpectFailure(literal, Fault::kConnect, "10.0.0.1 is 10.0.0.1");
}

TEST_F(DialerProxyTest, RefusesAProxyInAClosedNetIfAskedTo) {
  Endpoint endpoint = Through(Proxy::Kind::kHttp);
  endpoint.proxy->public_only = true;
  auto dial = Begin(endpoint);
  ExpectFailure(dial, Fault::kProxy,
                "127.0.0.1 is 127.0.0.1, which is not an address of the public");
  endpoint.proxy->host = "proxy.test";  // whatever its name is today
  auto named = Begin(endpoint);
  ExpectFailure(named, Fault::kProxy, "proxy.test is 127.0.0.1");
}

TEST_F(DialerProxyTest, SpeaksTlsToTheProxyAndToTheUpstreamInIt) {
  TempFolder folder;
  Authority authority{folder};
  auto server = [&](const char* file, const char* names) {
    Authority::Pair pair = authority.Issue(file, names);
    return *TlsServerContext::Load(pair.certificate, pair.key);
  };
  auto proxy_context = server("proxy", "DNS:proxy.test");
  auto upstream_context = server("upstream", "DNS:api.test");
  Endpoint endpoint = Through(Proxy::Kind::kHttp);
  endpoint.tls = endpoint.proxy->tls = *TlsClientContext::Make(authority.file());
  endpoint.alpn = {"h2", "http/1.1"};
  endpoint.proxy->host = "proxy.test";
  auto dial = Begin(endpoint);
  at_proxy = Tls::Accept(loop, TakeAccepted(), proxy_context, seconds(10));
  at_proxy->Start(heard);
  Hear("CONNECT api.test:443 HTTP/1.1");
  WriteText(*at_proxy, kStands);
  at_proxy->Stop();
  auto upstream = Tls::Accept(loop, std::move(at_proxy), upstream_context, seconds(10));
  ASSERT_TRUE(TurnUntil(loop, [&] { return dial.done(); }));
  ASSERT_TRUE(dial.result()) << dial.result().error().what;
  Transport& client = **dial.result();
  EXPECT_EQ(client.alpn(), "h2");
  Recorder at_client;
  Recorder at_upstream;
  client.Start(at_client);
  upstream->Start(at_upstream);
  const std::string much(300'000, 'x');
  WriteText(client, "hello");
  WriteText(*upstream, much);
  EXPECT_TRUE(TurnUntil(loop, [&] { return at_upstream.text == "hello"; }));
  EXPECT_TRUE(TurnUntil(loop, [&] { return at_client.text == much; }));
  client.ShutdownWrites();
  EXPECT_TRUE(TurnUntil(loop, [&] { return at_upstream.eofs == 1; }));
}

TEST_F(DialerProxyTest, ChecksTheNameOfAnHttpsProxy) {
  TempFolder folder;
  Authority authority{folder};
  Authority::Pair pair = authority.Issue("other", "DNS:other.test");
  auto context = *TlsServerContext::Load(pair.certificate, pair.key);
  Endpoint endpoint = Through(Proxy::Kind::kHttp);
  endpoint.proxy->tls = *TlsClientContext::Make(authority.file());
  endpoint.proxy->host = "proxy.test";
  auto dial = Begin(endpoint);
  at_proxy = Tls::Accept(loop, TakeAccepted(), context, seconds(10));
  at_proxy->Start(heard);
  ExpectFailure(dial, Fault::kProxy, "certificate verify failed");
  EXPECT_EQ(heard.text, "");
}

}  // namespace
}  // namespace relay
