// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/core/http/http1_peer.h"

namespace relay {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

// A server's codec with what it told.
struct Server {
  explicit Server(const CodecLimits& limits = {}) : codec(MakeHttp1Server(limits)) {}

  void Feed(std::string_view bytes) {
    EXPECT_TRUE(codec->Receive(bytes.empty() ? Chunk() : ExactChunk(bytes), record));
  }
  std::string Told() const { return record.Text(); }
  StreamId last() const { return record.messages.back().id; }
  const Head& head() const { return *record.messages.back().head; }

  // An answer with a length, in one go.
  void Answer(std::string_view body = "ok", int status = 200) {
    Head head;
    head.status = status;
    head.content_length = body.size();
    codec->SendHead(last(), head, /*end=*/false);
    Send(body, /*end=*/true);
  }
  void SendHead(int status, bool end) {
    Head head;
    head.status = status;
    codec->SendHead(last(), head, end);
  }
  void Send(std::string_view body, bool end) {
    Buffer buffer;
    buffer.AppendCopy(body);
    EXPECT_EQ(codec->SendData(last(), buffer, end), body.size());
    EXPECT_TRUE(buffer.empty());
  }
  std::string Out() { return Output(*codec); }

  std::unique_ptr<Codec> codec;
  Record record;
};

std::string Fields(const Head& head) {
  std::string text;
  for (const Field& field : head.fields) {
    text.append(field.name).append("=").append(field.value).append(";");
  }
  return text;
}

TEST(Http1Server, TellsAHeadAsItWasWritten) {
  Server server;
  server.Feed(
      "POST /v1/messages?beta=true HTTP/1.1\r\nHost: Relay.example:3000\r\nX-ApI-Key:  cr_1 \t\r\n"
      "Empty:\r\nX-Tab: a\tb\r\nUtf: \xc3\xa4\r\nContent-Length: 2\r\n\r\n{}");
  EXPECT_EQ(server.Told(), "POST /v1/messages?beta=true +{} end");
  const Head& head = server.head();
  EXPECT_EQ(head.authority, "Relay.example:3000");
  EXPECT_EQ(head.path(), "/v1/messages");
  EXPECT_EQ(head.query(), "beta=true");
  EXPECT_EQ(head.content_length, 2U);
  EXPECT_EQ(head.version, Version::kHttp11);
  EXPECT_FALSE(head.close);
  EXPECT_FALSE(head.expects_continue);
  EXPECT_EQ(Fields(head),
            "Host=Relay.example:3000;X-ApI-Key=cr_1;Empty=;X-Tab=a\tb;Utf=\xc3\xa4;"
            "Content-Length=2;");
}

TEST(Http1Server, KeepsHeadsWhenTheInputIsGone) {
  Server server;
  server.Feed(kGet);
  Head head = std::move(*server.record.messages.back().head);
  server.record.messages.clear();
  EXPECT_EQ(head.target, "/a");
  EXPECT_EQ(head.authority, "a");
  EXPECT_EQ(Fields(head), "Host=a;");
}

TEST(Http1Server, TakesEachMethodThatIsServed) {
  for (std::string method : {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}) {
    Server server;
    server.Feed(method + " /a HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(server.Told(), method + " /a end");
  }
}

TEST(Http1Server, NormalisesAbsoluteTargets) {
  struct Row {
    std::string_view target, origin, authority;
  };
  for (const Row& row : {
           Row{"http://b/x?y", "/x?y", "b"},
           Row{"HTTP://b:81/", "/", "b:81"},
           Row{"https://b", "/", "b"},
           Row{"http://b?q", "/?q", "b"},
           Row{"http://[::1]:80/x", "/x", "[::1]:80"},
           Row{"/http://b/", "/http://b/", "a"},
       }) {
    Server server;
    server.Feed("GET " + std::string(row.target) + " HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(server.Told(), "GET " + std::string(row.origin) + " end");
    EXPECT_EQ(server.head().authority, row.authority);
  }
}

TEST(Http1Server, TakesHostsOfEachKind) {
  for (std::string_view host : {"a", "A.example", "127.0.0.1:3000", "[::1]", "[::ffff:1.2.3.4]:80",
                                "a_b-c.d~e", "x:65535", "x:0"}) {
    Server server;
    server.Feed("GET / HTTP/1.1\r\nhost: " + std::string(host) + "\r\n\r\n");
    EXPECT_EQ(server.Told(), "GET / end") << host;
    EXPECT_EQ(server.head().authority, host);
  }
}

TEST(Http1Server, TakesEmptyLinesBeforeARequest) {
  Server server;
  server.Feed("\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n" + std::string(kGet));
  EXPECT_EQ(server.Told(), "GET /a end");
}

TEST(Http1Server, CountsNoEmptyLinesAsAMessageBegun) {
  for (size_t size : {1U, 2U, 4U}) {
    Server server;
    for (std::string_view piece : Pieces("\r\n\r\n", size)) server.Feed(piece);
    EXPECT_FALSE(server.codec->mid_message());
    server.Feed("G");
    EXPECT_TRUE(server.codec->mid_message());
  }
}

TEST(Http1Server, PassesBodySlicesWithoutACopy) {
  Server server;
  std::string text =
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n" + std::string(3000, 'x');
  Chunk chunk = ExactChunk(text);
  ASSERT_TRUE(server.codec->Receive(chunk, server.record));
  ASSERT_EQ(server.record.pieces.size(), 1U);
  EXPECT_EQ(server.record.pieces[0].data(), chunk.data() + text.size() - 3000);
}

TEST(Http1Server, PassesAChunkWithoutACopyAndTellsTheEndWithIt) {
  Server server;
  std::string text = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nBB8\r\n" +
                     std::string(3000, 'x') + "\r\n0\r\n\r\n";
  Chunk chunk = ExactChunk(text);
  ASSERT_TRUE(server.codec->Receive(chunk, server.record));
  ASSERT_EQ(server.record.pieces.size(), 1U);
  EXPECT_EQ(server.record.pieces[0].data(), chunk.data() + text.find("xxx"));
  EXPECT_TRUE(server.record.messages.back().end);
}

TEST(Http1Server, JoinsSmallChunksThatComeTogether) {
  Server server;
  std::string body;
  for (int i = 0; i < 1000; ++i) body += "1\r\nx\r\n";
  server.Feed("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body +
              "0\r\n\r\n");
  EXPECT_EQ(server.Told(), "POST / +" + std::string(1000, 'x') + " end");
  EXPECT_EQ(server.record.pieces.size(), 1U);
}

// R4: what is within bounds is taken, and dropped.
TEST(R4Chunks, ExtensionsAndTrailersAreDropped) {
  Server server;
  server.Feed(
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nTrailer: X-Sum\r\n\r\n"
      "5;a=b;c=\"d;e\"\r\nhello\r\n00000A;" +
      std::string(1023, 'x') + "\r\n, worldly!\r\n000;last\r\nX-Sum: 1\r\nHost: evil\r\n" +
      "Content-Length: 7\r\nEmpty:\r\n\r\n");
  EXPECT_EQ(server.Told(), "POST / +hello, worldly! end");
  EXPECT_EQ(Fields(server.head()), "Host=a;Transfer-Encoding=Chunked;Trailer=X-Sum;");
  EXPECT_EQ(server.head().content_length, std::nullopt);
}

TEST(R4Chunks, SizesMayHaveSixteenDigits) {
  Server server;
  server.Feed(
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n");
  EXPECT_EQ(server.Told(), "POST / +hello end");
}

// R5: exactly at the bound passes, one more does not.
TEST(R5Limits, HoldAtTheByte) {
  CodecLimits limits;
  limits.target_bytes = 40;
  limits.header_bytes = 100;
  limits.header_fields = 3;
  limits.body_bytes = 10;
  auto told = [&](const std::string& text) {
    std::string whole;
    for (size_t size : {text.size(), size_t{1}}) {
      Server server(limits);
      for (std::string_view piece : Pieces(text, size)) server.Feed(piece);
      if (!whole.empty()) EXPECT_EQ(server.Told(), whole);
      whole = server.Told();
    }
    return whole;
  };
  auto line = [](size_t size) {
    return "GET /" + std::string(size - 14, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n";
  };
  EXPECT_THAT(told(line(40)), HasSubstr(" end"));
  EXPECT_EQ(told(line(41)), "refused:414");
  auto head = [](size_t size) {
    return "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(size - 32, 'a') + "\r\n\r\n";
  };
  EXPECT_EQ(head(100).size(), 100U);
  EXPECT_EQ(told(head(100)), "GET / end");
  EXPECT_EQ(told(head(101)), "refused:431");
  EXPECT_EQ(told(head(102)), "refused:431");
  EXPECT_EQ(told("\r\n\r\n" + head(100)), "GET / end");
  EXPECT_EQ(told("\r\n\r\n" + head(101)), "refused:431");
  auto fields = [](int n) {
    std::string text = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (int i = 1; i < n; ++i) text += "X: y\r\n";
    return text + "\r\n";
  };
  EXPECT_EQ(told(fields(3)), "GET / end");
  EXPECT_EQ(told(fields(4)), "refused:431");
  auto length = [](int n) {
    return "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(n) + "\r\n\r\n" +
           std::string(static_cast<size_t>(n), 'x');
  };
  EXPECT_EQ(told(length(10)), "POST / +xxxxxxxxxx end");
  EXPECT_EQ(told(length(11)), "POST / broken:413");
  auto chunks = [](const std::string& last) {
    return "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nxxxxxx\r\n" + last;
  };
  EXPECT_EQ(told(chunks("4\r\nyyyy\r\n0\r\n\r\n")), "POST / +xxxxxxyyyy end");
  EXPECT_EQ(told(chunks("5\r\nyyyyy\r\n0\r\n\r\n")), "POST / +xxxxxx broken:413");
}

// Valid requests, and more than one at once.
std::vector<std::string> ValidRequests() {
  return {
      std::string(kGet),
      "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
      "\r\n\r\nGET /?a=b HTTP/1.1\r\nHost: [::1]:80\r\nX: y\r\n\r\n",
      "GET http://b:8/c HTTP/1.1\r\nHost: a\r\n\r\n",
      "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\nhello\r\nworld",
      "POST /p HTTP/1.1\r\nContent-Length: 0\r\nHost: a\r\nEmpty:\r\n\r\n",
      "POST /p HTTP/1.1\r\nHost: a\r\ncontent-length:  0005 \r\n\r\nhello",
      "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n1;x=y\r\n \r\n5;\r\nworld\r\n0\r\n\r\n",
      "POST /p HTTP/1.1\r\nHost: a\r\ntransfer-encoding:chunked\r\n\r\n0\r\nA: b\r\nC:\r\n\r\n",
      "POST /p HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\nok",
      "PUT /x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x\r\nContent-Length: 1\r\n\r\n.",
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: "
      "x\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
      "Content-Length: 3\r\n\r\nabc",
      "DELETE /%2e%2e//x;y=(z)|{} HTTP/1.1\r\nHost: a\r\nX: \t a\tb \t\r\n\r\n",
      "GET / HTTP/1.0\r\n\r\n",
      "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
      "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none"
      "GET /2 HTTP/1.1\r\nHost: b\r\n\r\n\r\n"
      "POST /3 HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
      "GET /4 HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\nGET /5 HTTP/1.1\r\nHost: a\r\n\r\n",
  };
}

// Everything told and sent, when each request is answered as soon as it has come.
std::string Conversation(const std::vector<std::string_view>& pieces) {
  Server server;
  std::string details;
  size_t answered = 0;
  auto answer = [&] {
    while (answered < server.record.messages.size() && server.record.messages.back().end) {
      ++answered;
      const Head& head = server.head();
      details.append(head.authority).append(" ").append(Fields(head));
      details.append(head.close ? "close" : "").append(head.expects_continue ? "expects" : "");
      details.append(" ").append(std::to_string(head.content_length.value_or(99))).append("\n");
      server.Answer();
      server.Feed("");
    }
  };
  for (std::string_view piece : pieces) {
    server.Feed(piece);
    answer();
  }
  return server.Told() + "\n" + details + server.Out() +
         (server.codec->must_close() ? "must close" : "") +
         (server.codec->mid_message() ? "mid message" : "");
}

TEST(Http1Server, TellsTheSameHoweverARequestIsCut) {
  std::mt19937 random(1);
  for (const std::string& request : ValidRequests()) {
    std::string whole = Conversation({request});
    EXPECT_THAT(whole, HasSubstr(" end"));
    EXPECT_THAT(whole, Not(HasSubstr("MISUSE")));
    EXPECT_THAT(whole, Not(HasSubstr(":400")));
    EXPECT_THAT(whole, Not(HasSubstr("mid message")));
    for (size_t at = 0; at <= request.size(); ++at) {
      ASSERT_EQ(Conversation(CutAt(request, at)), whole) << request << " cut at " << at;
    }
    for (size_t size : {1U, 2U, 3U, 5U}) ASSERT_EQ(Conversation(Pieces(request, size)), whole);
    for (int round = 0; round < 20; ++round) {
      std::vector<std::string_view> pieces;
      for (size_t at = 0; at < request.size();) {
        size_t size = 1 + random() % 40;
        pieces.push_back(std::string_view(request).substr(at, size));
        at += size;
      }
      ASSERT_EQ(Conversation(pieces), whole) << request;
    }
  }
}

TEST(Http1Server, RefusesEveryRequestThatLacksOneByteOfItsFraming) {
  // No valid request with a byte taken away may turn into a different valid first request that is
  // framed otherwise than its bytes say: this only asks for no misuse and no crash.
  for (const std::string& request : ValidRequests()) {
    for (size_t at = 0; at < request.size(); ++at) {
      std::string less = request;
      less.erase(at, 1);
      EXPECT_THAT(Conversation({less}), Not(HasSubstr("MISUSE")));
      std::string other = request;
      for (char c : {'\0', '\r', '\n', ' ', '\x7f', ':'}) {
        other[at] = c;
        EXPECT_EQ(Conversation({other}), Conversation(Pieces(other, 1))) << at << " " << int{c};
      }
    }
  }
}

TEST(Http1Answers, HaveALength) {
  Server server;
  server.Feed(kGet);
  Head head;
  head.status = 201;
  head.content_length = 5;
  head.Add("X-Second", "2");
  head.Add("x-first", "a, b");
  server.codec->SendHead(1, head, /*end=*/false);
  server.Send("he", false);
  server.Send("llo", true);
  EXPECT_EQ(
      server.Out(),
      "HTTP/1.1 201 Created\r\nX-Second: 2\r\nx-first: a, b\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_FALSE(server.codec->must_close());
}

TEST(Http1Answers, AreChunkedWithoutALength) {
  Server server;
  server.Feed(kGet);
  server.SendHead(200, false);
  EXPECT_EQ(server.Out(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  server.Send("data: 1\n\n", false);
  EXPECT_EQ(server.Out(), "9\r\ndata: 1\n\n\r\n");
  server.Send("", false);
  EXPECT_EQ(server.Out(), "");
  server.Send(std::string(300, 'x'), false);
  EXPECT_EQ(server.Out(), "12c\r\n" + std::string(300, 'x') + "\r\n");
  server.Send("", true);
  EXPECT_EQ(server.Out(), "0\r\n\r\n");
  EXPECT_FALSE(server.codec->must_close());
}

TEST(Http1Answers, JoinSlicesIntoOneChunkWithTheLast) {
  Server server;
  server.Feed(kGet);
  server.SendHead(200, false);
  server.Out();
  Chunk payload = ExactChunk("payload");
  Buffer body;
  body.Append(payload);
  body.AppendCopy(" and more");
  server.codec->SendData(1, body, /*end=*/true);
  Buffer out;
  server.codec->TakeOutput(out);
  EXPECT_EQ(out.ToString(), "10\r\npayload and more\r\n0\r\n\r\n");
  out.Pop();
  EXPECT_EQ(out.front()->data(), payload.data());
}

TEST(Http1Answers, ToHeadHaveNoBody) {
  for (bool chunked : {false, true}) {
    Server server;
    server.Feed("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
    if (chunked) {
      server.SendHead(200, false);
      server.Send("some", false);
      server.Send("thing", true);
      EXPECT_EQ(server.Out(), "HTTP/1.1 200 OK\r\n\r\n");
    } else {
      server.Answer("something");
      EXPECT_EQ(server.Out(), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
    }
    EXPECT_FALSE(server.codec->must_close());
    server.Feed(kGet);
    EXPECT_EQ(server.Told(), "HEAD /a end | GET /a end");
  }
}

TEST(Http1Answers, ToRefusedHeadHaveNoBody) {
  Server server;
  server.Feed("HEAD /a HTTP/1.1\r\nHost: a b\r\n\r\n");
  server.Answer("no", 400);
  EXPECT_EQ(server.Out(),
            "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\n");
}

TEST(Http1Answers, With204And304HaveNoBody) {
  for (int status : {204, 304}) {
    Server server;
    server.Feed(kGet);
    server.Answer("never", status);
    EXPECT_THAT(server.Out(), ::testing::EndsWith("\r\n\r\n"));
    server.Feed(kGet);
    server.Answer();
    EXPECT_EQ(server.Out(), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  }
}

TEST(Http1Answers, WithoutBodySaySo) {
  Server server;
  server.Feed(kGet);
  server.SendHead(401, true);
  EXPECT_EQ(server.Out(), "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
}

TEST(Http1Answers, ToHttp10EndWithTheConnection) {
  Server server;
  server.Feed("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(server.Told(), "GET /a end");
  EXPECT_TRUE(server.head().close);
  server.SendHead(100, false);
  server.SendHead(200, false);
  server.Send("hello", false);
  server.Send("", true);
  EXPECT_EQ(server.Out(), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
  EXPECT_TRUE(server.codec->must_close());
}

// R9: fields of a hop, and those that frame, are never copied.
TEST(R9Hops, AnswersCarryNoFieldsOfAnotherHop) {
  Server server;
  server.Feed(kGet);
  Head head;
  head.status = 200;
  head.content_length = 2;
  for (const char* name : {"Connection", "keep-alive", "Proxy-Connection", "TE", "Trailer",
                           "Transfer-Encoding", "Upgrade", "Content-Length", "HTTP2-Settings"}) {
    head.Add(name, "100");
  }
  head.Add("X", "y");
  server.codec->SendHead(1, head, /*end=*/false);
  EXPECT_EQ(server.Out(), "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 2\r\n\r\n");
}

TEST(R9Hops, UpgradeIsIgnored) {
  Server server;
  server.Feed(
      "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
      "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n");
  server.SendHead(101, false);
  server.Answer();
  EXPECT_EQ(server.Out(), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  server.Feed("");
  EXPECT_EQ(server.Told(), "GET /a end | GET /b end");
}

TEST(R1Heads, NothingInAFieldBeginsAnotherHead) {
  Server server;
  server.Feed(kGet);
  Head head;
  head.status = 200;
  head.Add("X", "a\r\nSet-Cookie: b");
  head.Add("Y", "a\nb");
  head.Add("Z", std::string_view("a\0b", 3));
  head.Add("Bad: name", "c");
  head.Add("", "c");
  head.Add("Tab", "a\tb");
  server.codec->SendHead(1, head, /*end=*/true);
  EXPECT_EQ(server.Out(), "HTTP/1.1 200 OK\r\nTab: a\tb\r\nContent-Length: 0\r\n\r\n");
}

TEST(R1Heads, ABodyIsNeverLongerThanAnnounced) {
  Server server;
  server.Feed(kGet);
  Head head;
  head.status = 200;
  head.content_length = 5;
  server.codec->SendHead(1, head, /*end=*/false);
  server.Send("hel", false);
  EXPECT_FALSE(server.codec->must_close());
  server.Send("lo, HTTP/1.1 200 OK", true);
  EXPECT_THAT(server.Out(), ::testing::EndsWith("\r\n\r\nhello"));
  EXPECT_TRUE(server.codec->must_close());
}

TEST(R1Heads, AShortBodyEndsTheConnection) {
  Server server;
  server.Feed(kGet);
  Head head;
  head.status = 200;
  head.content_length = 5;
  server.codec->SendHead(1, head, /*end=*/false);
  server.Send("hel", true);
  EXPECT_TRUE(server.codec->must_close());
  server.Feed(kGet);
  EXPECT_EQ(server.Told(), "GET /a end");
}

// R6
TEST(R6EarlyAnswers, ReadAShortBodyToItsEnd) {
  Server server;
  server.Feed("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n");
  server.Answer("no", 401);
  EXPECT_EQ(server.Out(), "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
  EXPECT_FALSE(server.codec->must_close());
  EXPECT_TRUE(server.codec->mid_message());
  server.codec->Reset(1, Fault::kCancelled);  // as when the stream is given back
  std::string body = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
  body.resize(65536, 'x');
  server.Feed(body + std::string(kGet));
  EXPECT_EQ(server.Told(), "POST /a | GET /a end");
  EXPECT_FALSE(server.codec->must_close());
  server.Answer();
  EXPECT_EQ(server.Out(), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

TEST(R6EarlyAnswers, CloseBeforeALongBody) {
  Server server;
  server.Feed("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 65538\r\n\r\nx");
  server.Answer("no", 401);
  EXPECT_EQ(server.Out(),
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
  EXPECT_TRUE(server.codec->must_close());
  server.Feed(std::string(65537, 'x') + std::string(kGet));
  EXPECT_EQ(server.Told(), "POST /a +x");
}

TEST(R6EarlyAnswers, CloseBeforeChunks) {
  Server server;
  server.Feed("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
  server.Answer("no", 401);
  EXPECT_THAT(server.Out(), HasSubstr("Connection: close\r\n"));
  EXPECT_TRUE(server.codec->must_close());
  server.Feed("0\r\n\r\n" + std::string(kGet));
  EXPECT_EQ(server.Told(), "POST /a +x");
}

TEST(R6EarlyAnswers, KeepTheConnectionWhenTheBodyHasCome) {
  Server server;
  server.Feed(
      "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
  server.Answer("no", 401);
  EXPECT_FALSE(server.codec->must_close());
  server.Feed(kGet);
  EXPECT_EQ(server.Told(), "POST /a +x end | GET /a end");
}

TEST(R6EarlyAnswers, BrokenRestOfTheBodyClosesSilently) {
  Server server;
  server.Feed("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
  server.Answer("no", 404);
  ASSERT_FALSE(server.codec->must_close());
  server.codec->ReceiveEof(server.record);
  EXPECT_TRUE(server.codec->must_close());
  EXPECT_EQ(server.Told(), "POST /a +he");
}

// R7
TEST(R7AfterFaults, ABrokenBodyIsToldAndCanBeAnswered) {
  Server server;
  server.Feed("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nX");
  EXPECT_EQ(server.Told(), "POST /a +hi broken:400");
  EXPECT_TRUE(server.codec->must_close());
  server.Answer("no", 400);
  EXPECT_EQ(server.Out(),
            "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
  server.Feed(kGet);
  EXPECT_EQ(server.Told(), "POST /a +hi broken:400");
}

TEST(R7AfterFaults, ABrokenBodyCutsAnAnswerThatHasBegun) {
  Server server;
  server.Feed("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n");
  server.SendHead(200, false);
  server.Feed("X");
  EXPECT_EQ(server.Told(), "POST /a +hi cut:400");
  EXPECT_TRUE(server.codec->must_close());
}

TEST(R7AfterFaults, OnlyOneAnswerIsTaken) {
  Server server;
  server.Feed("GET /a HTTP/9.9\r\n\r\n");
  ASSERT_EQ(server.Told(), "refused:400");
  server.Answer("no", 400);
  server.Out();
  server.Answer("again", 200);
  server.SendHead(200, true);
  EXPECT_EQ(server.Out(), "");
}

TEST(R7AfterFaults, CloseEndsPipelining) {
  Server server;
  server.Feed("GET /a HTTP/1.1\r\nHost: a\r\nConnection: x , Close\r\n\r\n" + std::string(kGet));
  EXPECT_TRUE(server.head().close);
  server.Answer();
  EXPECT_EQ(server.Out(), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
  EXPECT_TRUE(server.codec->must_close());
  server.Feed("");
  EXPECT_EQ(server.Told(), "GET /a end");
  EXPECT_FALSE(server.codec->mid_message());
}

// R8
TEST(R8Pipelining, RequestsComeOneAtATimeAndInOrder) {
  Server server;
  std::string all;
  for (int i = 1; i <= 5; ++i) {
    all += "POST /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n" +
           std::to_string(i);
  }
  server.Feed(all);
  for (int i = 1; i <= 5; ++i) {
    ASSERT_EQ(server.record.messages.size(), static_cast<size_t>(i));
    EXPECT_EQ(server.head().target, "/" + std::to_string(i));
    EXPECT_EQ(server.record.messages.back().body, std::to_string(i));
    EXPECT_EQ(server.codec->mid_message(), i < 5);
    server.Feed("");  // nothing until the answer is finished
    ASSERT_EQ(server.record.messages.size(), static_cast<size_t>(i));
    server.Answer(std::to_string(i));
    EXPECT_THAT(server.Out(), ::testing::EndsWith(std::to_string(i)));
    server.Feed("");
  }
}

TEST(R8Pipelining, BytesThatComeWhileOthersAreHeldKeepTheirOrder) {
  Server server;
  server.Feed(std::string(kGet) + "GET /b HTTP/1.1\r\nHo");
  server.Feed("st: a\r\n\r\nGET /");
  server.Answer();
  server.Feed("c HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(server.Told(), "GET /a end | GET /b end");
  server.Answer();
  server.Feed("");
  EXPECT_EQ(server.Told(), "GET /a end | GET /b end | GET /c end");
}

TEST(R8Pipelining, AnswersGivenWithinTheEventAreFollowedAtOnce) {
  Server server;
  server.record.on_head = [&](StreamId id, const Head&) {
    Head head;
    head.status = 200;
    server.codec->SendHead(id, head, /*end=*/true);
  };
  std::string all;
  for (int i = 0; i < 100; ++i) all += kGet;
  server.Feed(all);
  EXPECT_EQ(server.record.messages.size(), 100U);
  EXPECT_FALSE(server.codec->mid_message());
}

TEST(R8Pipelining, AtMost16KiBAreHeld) {
  Server server;
  server.Feed(kGet);
  EXPECT_TRUE(server.codec->wants_bytes());
  size_t held = 0;
  while (server.codec->wants_bytes()) {
    server.Feed(std::string(1000, 'x'));
    held += 1000;
    ASSERT_LT(held, 100'000U);
  }
  EXPECT_LE(held, size_t{17} << 10);
  server.Answer();
  EXPECT_TRUE(server.codec->wants_bytes());
}

TEST(R8Pipelining, SmallPiecesCountMoreThanTheirBytes) {
  Server server;
  server.Feed(kGet);
  int pieces = 0;
  for (; server.codec->wants_bytes(); ++pieces) server.Feed("x");
  EXPECT_LT(pieces, 1000);
}

TEST(R8Pipelining, AFaultBehindAGoodRequestIsRefusedInItsTurn) {
  Server server;
  server.Feed(std::string(kGet) + "GET /b HTTP/1.1\r\nHost: a b\r\n\r\n" + std::string(kGet));
  EXPECT_EQ(server.Told(), "GET /a end");
  server.Answer();
  EXPECT_EQ(server.Out(), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  server.Feed("");
  EXPECT_EQ(server.Told(), "GET /a end | refused:400");
}

// R10
TEST(R10Expect, ContinueIsAskedForAndGiven) {
  Server server;
  server.Feed("POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_TRUE(server.head().expects_continue);
  EXPECT_EQ(server.Out(), "");
  server.SendHead(100, false);
  EXPECT_EQ(server.Out(), "HTTP/1.1 100 Continue\r\n\r\n");
  server.Feed("hi");
  EXPECT_EQ(server.Told(), "POST /a +hi end");
  server.Answer();
  EXPECT_FALSE(server.codec->must_close());
}

TEST(R10Expect, RefusalInsteadOfContinueClosesSinceTheBodyMayOrMayNotCome) {
  Server server;
  server.Feed("POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  server.Answer("no", 401);
  EXPECT_THAT(server.Out(), HasSubstr("Connection: close\r\n"));
  EXPECT_TRUE(server.codec->must_close());
  server.Feed(kGet);
  EXPECT_EQ(server.Told(), "POST /a");
}

TEST(R10Expect, ABodyThatCameWithoutWaitingIsRead) {
  Server server;
  server.Feed("POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nh");
  server.Answer("no", 401);
  EXPECT_FALSE(server.codec->must_close());
  server.Feed("i" + std::string(kGet));
  EXPECT_EQ(server.Told(), "POST /a +h | GET /a end");
}

TEST(R10Expect, NobodyWaitsForAnEmptyBodyOrInHttp10) {
  Server server;
  server.Feed("GET /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_FALSE(server.head().expects_continue);
  Server old;
  old.Feed("POST /a HTTP/1.0\r\nExpect: other\r\nContent-Length: 2\r\n\r\nhi");
  EXPECT_EQ(old.Told(), "POST /a +hi end");
  EXPECT_FALSE(old.head().expects_continue);
}

TEST(R10Expect, NobodyIsToldToSendWhatIsTooLarge) {
  Server server;
  server.Feed(
      "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n");
  EXPECT_EQ(server.Told(), "POST /a broken:413");
  server.SendHead(100, false);
  EXPECT_EQ(server.Out(), "");
}

TEST(R39Drain, GoAwayClosesAfterTheAnswer) {
  Server server;
  server.Feed(kGet);
  server.codec->GoAway();
  server.Feed(kGet);
  server.Answer();
  EXPECT_EQ(server.Out(), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
  EXPECT_TRUE(server.codec->must_close());
  server.Feed("");
  EXPECT_EQ(server.Told(), "GET /a end");
}

TEST(R39Drain, GoAwayWithinAnAnswerClosesBehindIt) {
  Server server;
  server.Feed(kGet);
  server.SendHead(200, false);
  server.codec->GoAway();
  server.Send("x", true);
  EXPECT_TRUE(server.codec->must_close());
  EXPECT_THAT(server.Out(), ::testing::EndsWith("0\r\n\r\n"));
}

TEST(R39Drain, GoAwayWhenIdleClosesAtOnceButNotWithinAHead) {
  Server idle;
  EXPECT_FALSE(idle.codec->must_close());
  idle.codec->GoAway();
  EXPECT_TRUE(idle.codec->must_close());
  Server busy;
  busy.Feed("GET /a HT");
  busy.codec->GoAway();
  EXPECT_FALSE(busy.codec->must_close());
  busy.Feed("TP/1.1\r\nHost: a\r\n\r\n");
  busy.Answer();
  EXPECT_THAT(busy.Out(), HasSubstr("Connection: close\r\n"));
  EXPECT_TRUE(busy.codec->must_close());
}

TEST(Http1Server, ResetEndsWithoutALastChunk) {
  Server server;
  server.Feed(std::string(kGet) + std::string(kGet));
  server.SendHead(200, false);
  server.Send("half", false);
  server.codec->Reset(1, Fault::kTruncated);
  server.Send(" more", true);
  EXPECT_THAT(server.Out(), ::testing::EndsWith("\r\n\r\n4\r\nhalf\r\n"));
  EXPECT_TRUE(server.codec->must_close());
  server.Feed("");
  EXPECT_EQ(server.Told(), "GET /a end");
}

TEST(Http1Server, ResetOfAnAnsweredRequestIsNothing) {
  Server server;
  server.Feed(kGet);
  server.Answer();
  server.codec->Reset(1, Fault::kCancelled);
  EXPECT_FALSE(server.codec->must_close());
  server.Feed(kGet);
  server.codec->Reset(1, Fault::kCancelled);  // an older one
  server.Answer();
  EXPECT_FALSE(server.codec->must_close());
}

TEST(Http1Server, TellsWhenTheClientLeavesWithinABody) {
  Server server;
  server.Feed("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
  server.codec->ReceiveEof(server.record);
  EXPECT_THAT(server.Told(), HasSubstr("POST /a +he"));
  ASSERT_TRUE(server.record.messages.back().fault);
  EXPECT_EQ(server.record.messages.back().fault->party, Party::kClient);
  EXPECT_FALSE(server.record.messages.back().answerable);
  EXPECT_TRUE(server.codec->must_close());
}

TEST(Http1Server, SaysNothingWhenTheClientLeavesBetweenRequests) {
  Server server;
  server.codec->ReceiveEof(server.record);
  EXPECT_EQ(server.Told(), "");
  Server half;
  half.Feed("GET /a");
  half.codec->ReceiveEof(half.record);
  EXPECT_EQ(half.Told(), "");
  EXPECT_TRUE(half.codec->must_close());
}

}  // namespace
}  // namespace relay
