// SPDX-License-Identifier: MIT
#include "core/net/proxy.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "core/net/tls_context.h"

namespace relay {
namespace {

using namespace std::string_literals;

Proxy To(Proxy::Kind kind, std::string_view user = "", std::string_view password = "") {
  Proxy proxy;
  proxy.kind = kind;
  proxy.host = "proxy.test";
  proxy.port = 1080;
  proxy.user = Secret(user);
  proxy.password = Secret(password);
  return proxy;
}

// What a whole dialogue comes to.
struct Talk {
  std::string said;  // by us, all of it
  bool stands = false;
  std::optional<Error> error;
};

// Gives the proxy's words to the dialogue in pieces of `most` bytes.
Talk Hold(const Proxy& proxy, std::string_view words, size_t most = SIZE_MAX,
          const std::string& host = "api.test", uint16_t port = 443) {
  Talk talk;
  auto dialogue = ProxyDialogue::Begin(proxy, host, port);
  talk.said = dialogue->TakeOutput();
  while (!words.empty()) {
    if (talk.stands) {
      ADD_FAILURE() << "it stood before the proxy had said all";
      return talk;
    }
    size_t size = std::min(most, words.size());
    Result<bool> done = dialogue->Receive(words.substr(0, size));
    words.remove_prefix(size);
    talk.said += dialogue->TakeOutput();
    if (!done) {
      talk.error = done.error();
      return talk;
    }
    talk.stands = *done;
  }
  return talk;
}

const Proxy kHttp = To(Proxy::Kind::kHttp);
const Proxy kSocks = To(Proxy::Kind::kSocks5);
const Proxy kHttpUser = To(Proxy::Kind::kHttp, "alice", "s3cret");
const Proxy kSocksUser = To(Proxy::Kind::kSocks5, "alice", "s3cret");

TEST(HttpConnect, AsksForTheHostAsItStands) {
  EXPECT_EQ(Hold(kHttp, "").said, "CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n");
  EXPECT_EQ(Hold(kHttp, "", 1, "2001:db8::1", 80).said,
            "CONNECT [2001:db8::1]:80 HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n");
  EXPECT_EQ(Hold(kHttpUser, "").said,
            "CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n"
            "Proxy-Authorization: Basic YWxpY2U6czNjcmV0\r\n\r\n");
}

TEST(HttpConnect, StandsAfterAnyGoodAnswerInAnyPieces) {
  for (std::string_view answer : {
           "HTTP/1.1 200 Connection established\r\n\r\n",
           "HTTP/1.0 200\r\n\r\n",
           "HTTP/1.1 299 Fine\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
           "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
       }) {
    for (size_t most : {size_t{1}, size_t{2}, size_t{7}, SIZE_MAX}) {
      Talk talk = Hold(kHttp, answer, most);
      EXPECT_TRUE(talk.stands) << answer << most;
    }
  }
}

struct Refused {
  std::string words;
  Fault fault;
  const char* what;
};

void ExpectRefused(const Proxy& proxy, const Refused& row) {
  for (size_t most : {size_t{1}, size_t{3}, SIZE_MAX}) {
    SCOPED_TRACE(row.words.substr(0, 60) + " in pieces of " + std::to_string(most));
    Talk talk = Hold(proxy, row.words, most);
    ASSERT_TRUE(talk.error);
    EXPECT_EQ(talk.error->party, Party::kUpstream);
    EXPECT_EQ(talk.error->fault, row.fault);
    EXPECT_TRUE(talk.error->retryable);
    EXPECT_EQ(talk.error->what, "the proxy " + proxy.Name() + " " + row.what);
  }
}

TEST(HttpConnect, SaysWhyThereIsNoConnection) {
  for (const Refused& row : std::vector<Refused>{
           {"HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic\r\n\r\n", Fault::kUnauthenticated,
            "wants a user and a password (407)"},
           {"HTTP/1.1 403 No\r\n\r\n", Fault::kProxy, "refuses to connect to the upstream (403)"},
           {"HTTP/1.1 301 Moved\r\n\r\n", Fault::kProxy,
            "refuses to connect to the upstream (301)"},
           {"HTTP/1.1 500 Oops\r\n\r\n", Fault::kConnect, "could not reach the upstream (500)"},
           {"HTTP/1.1 502 Bad\r\n\r\n", Fault::kConnect, "could not reach the upstream (502)"},
           {"HTTP/1.1 503 Busy\r\n\r\n", Fault::kConnect, "could not reach the upstream (503)"},
           {"HTTP/1.1 504 Late\r\n\r\n", Fault::kConnect, "could not reach the upstream (504)"},
           {"\5\0"s, Fault::kProxy, "does not speak HTTP/1"},
           {"SSH-2.0-x\r\n", Fault::kProxy, "does not speak HTTP/1"},
           {"\n\nHTTP/1.1 200\r\n\r\n", Fault::kProxy, "does not speak HTTP/1"},
           {"HTTP/2 200\r\n\r\n", Fault::kProxy, "does not speak HTTP/1"},
           {"HTTP/1.2 200\r\n\r\n", Fault::kProxy, "does not speak HTTP/1"},
           {"HTTP/1.1 20\r\n\r\n", Fault::kProxy, "does not speak HTTP/1"},
           {"HTTP/1.1 2000\r\n\r\n", Fault::kProxy, "does not speak HTTP/1"},
           {"HTTP/1.1  200\r\n\r\n", Fault::kProxy, "does not speak HTTP/1"},
           {"HTTP/1.1 0x0\r\n\r\n", Fault::kProxy, "does not speak HTTP/1"},
           {"HTTP/1.1 099\r\n\r\n", Fault::kProxy, "does not speak HTTP/1"},
       }) {
    ExpectRefused(kHttp, row);
  }
  ExpectRefused(kHttpUser, {"HTTP/1.1 407 Auth\r\n\r\n", Fault::kUnauthenticated,
                            "does not accept user and password (407)"});
  ExpectRefused(kHttpUser, {"HTTP/1.1 401 No\r\n\r\n", Fault::kUnauthenticated,
                            "does not accept user and password (401)"});
}

TEST(HttpConnect, BoundsWhatItHears) {
  std::string head = "HTTP/1.1 200 OK\r\nX: ";
  std::string fits = head + std::string(ProxyDialogue::kMostAnswer - head.size() - 4, 'x');
  EXPECT_TRUE(Hold(kHttp, fits + "\r\n\r\n", 1000).stands);
  ExpectRefused(kHttp, {fits + "xxxxx", Fault::kProxy, "says too much"});
  std::string interim;
  while (interim.size() <= ProxyDialogue::kMostAnswer) interim += "HTTP/1.1 102 Wait\r\n\r\n";
  ExpectRefused(kHttp, {interim, Fault::kProxy, "says too much"});
}

TEST(HttpConnect, TakesNothingBehindTheAnswer) {
  Talk talk = Hold(kHttp, "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n");
  ASSERT_TRUE(talk.error);
  EXPECT_EQ(talk.error->what, "the proxy http://proxy.test:1080 says more than it should");
}

TEST(Socks5, AsksForANameOrAnAddress) {
  const std::string none = "\5\0"s;
  EXPECT_EQ(Hold(kSocks, none).said, "\5\1\0\5\1\0\3\x8"s + "api.test" + "\x01\xbb"s);
  EXPECT_EQ(Hold(kSocks, none, 1, "192.0.2.1", 80).said, "\5\1\0"s + "\5\1\0\1\xc0\0\2\1\0\x50"s);
  EXPECT_EQ(Hold(kSocks, none, 1, "2001:db8::1", 80).said,
            "\5\1\0"s + "\5\1\0\4\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\x50"s);
}

TEST(Socks5, LogsInWhereItIsAskedTo) {
  EXPECT_EQ(Hold(kSocksUser, "\5\2\1\0"s, 1).said,
            "\5\2\0\2"s + "\1\5alice\6s3cret" + "\5\1\0\3\x8"s + "api.test" + "\x01\xbb"s);
  // It offers both, and needs no user where the proxy does not.
  EXPECT_EQ(Hold(kSocksUser, "\5\0"s, 1).said,
            "\5\2\0\2"s + "\5\1\0\3\x8"s + "api.test" + "\x01\xbb"s);
}

TEST(Socks5, StandsAfterAGoodReplyInAnyPieces) {
  for (const std::string& reply : {
           "\5\0\0\1\0\0\0\0\0\0"s,
           "\5\0\0\3\4abcd\1\1"s,
           "\5\0\0\3\0\1\1"s,
           "\5\0\0\4"s + std::string(18, 'x'),
           "\5\0\0\3\xff"s + std::string(257, 'x'),
       }) {
    for (size_t most : {size_t{1}, size_t{2}, size_t{7}, SIZE_MAX}) {
      EXPECT_TRUE(Hold(kSocks, "\5\0"s + reply, most).stands) << most;
    }
  }
}

TEST(Socks5, SaysWhyThereIsNoConnection) {
  auto reply = [](char code) { return "\5\0\5"s + code + "\0\1\0\0\0\0\0\0"s; };
  for (const Refused& row : std::vector<Refused>{
           {reply(1), Fault::kConnect, "could not reach the upstream (general failure)"},
           {reply(2), Fault::kProxy, "does not allow this connection (its ruleset)"},
           {reply(3), Fault::kConnect, "could not reach the upstream (network unreachable)"},
           {reply(4), Fault::kConnect, "could not reach the upstream (host unreachable)"},
           {reply(5), Fault::kConnect, "could not reach the upstream (connection refused)"},
           {reply(6), Fault::kConnect, "could not reach the upstream (TTL expired)"},
           {reply(7), Fault::kProxy, "refuses to connect to the upstream (7)"},
           {reply(8), Fault::kProxy, "refuses to connect to the upstream (8)"},
           {reply('\xff'), Fault::kProxy, "refuses to connect to the upstream (255)"},
           {"\5\xff"s, Fault::kUnauthenticated, "wants a user and a password"},
           {"\5\2"s, Fault::kProxy, "chose a way to log in that was not offered"},
           {"\5\1"s, Fault::kProxy, "chose a way to log in that was not offered"},
           {"\4\0"s, Fault::kProxy, "does not speak SOCKS5"},
           {"HTTP/1.1 400 Bad\r\n\r\n", Fault::kProxy, "does not speak SOCKS5"},
           {"\5\0\4\0\0\1"s, Fault::kProxy, "does not speak SOCKS5"},
           {"\5\0\5\0\0\2\0"s, Fault::kProxy, "does not speak SOCKS5"},
       }) {
    ExpectRefused(kSocks, row);
  }
  for (const Refused& row : std::vector<Refused>{
           {"\5\2\1\1"s, Fault::kUnauthenticated, "does not accept user and password"},
           {"\5\xff"s, Fault::kUnauthenticated, "does not take user and password"},
           {"\5\2\5\0"s, Fault::kProxy, "does not speak SOCKS5"},
       }) {
    ExpectRefused(kSocksUser, row);
  }
}

TEST(Socks5, TakesNothingBehindTheReply) {
  Talk talk = Hold(kSocks, "\5\0\5\0\0\1\0\0\0\0\0\0x"s);
  ASSERT_TRUE(talk.error);
  EXPECT_EQ(talk.error->what, "the proxy socks5://proxy.test:1080 says more than it should");
}

TEST(Proxy, IsNamedWithoutItsUser) {
  EXPECT_EQ(kHttpUser.Name(), "http://proxy.test:1080");
  EXPECT_EQ(kSocksUser.Name(), "socks5://proxy.test:1080");
  Proxy proxy = To(Proxy::Kind::kHttp, "u", "p");
  proxy.host = "::1";
  proxy.tls = *TlsClientContext::Make();
  EXPECT_EQ(proxy.Name(), "https://[::1]:1080");
  Error dead{Party::kUpstream, Fault::kTimeout, "connecting took too long", true};
  Error told = ProxyFailed(proxy, dead);
  EXPECT_EQ(told.fault, Fault::kProxy);
  EXPECT_EQ(told.what, "the proxy https://[::1]:1080 fails: connecting took too long");
}

}  // namespace
}  // namespace relay
