// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/core/http/http2_peer.h"

namespace relay::h2 {
namespace {

using ::testing::HasSubstr;

TEST(Http2Server, R20AnnouncesItsBoundsAndWindows) {
  CodecLimits limits;
  limits.streams = 7;
  limits.header_bytes = 4096;
  ManualClock clock;
  std::unique_ptr<Codec> codec = MakeHttp2Server(limits, clock);
  Reader reader;
  // 6: MAX_HEADER_LIST_SIZE, 3: MAX_CONCURRENT_STREAMS; the stream's window is the default 65535.
  EXPECT_EQ(reader.Take(*codec), "SETTINGS 6=4096 3=7 | WINDOW 0 983041");
}

TEST(Http2Server, TellsAHeadAsItWasWritten) {
  Server server;
  EXPECT_TRUE(server.Feed(
      Headers(
          1,
          Request(
              "POST", "/v1/messages?beta=true",
              {{"x-api-key", "cr_1"}, {"empty", ""}, {"utf", "\xc3\xa4"}, {"content-length", "2"}}),
          0) +
      Data(1, "{}", kEnd)));
  EXPECT_EQ(server.Told(), "1 POST /v1/messages?beta=true +{} end");
  const Head& head = server.head();
  EXPECT_EQ(head.authority, "a");
  EXPECT_EQ(head.path(), "/v1/messages");
  EXPECT_EQ(head.content_length, 2U);
  EXPECT_EQ(head.version, Version::kHttp2);
  EXPECT_EQ(FieldsOf(head), "x-api-key=cr_1;empty=;utf=\xc3\xa4;content-length=2;");
}

TEST(Http2Server, AnswersWithHeadAndBody) {
  Server server;
  server.Feed(Headers(1, Request()));
  server.SendHead(1, 200, false,
                  {{"Content-Type", "text/event-stream"}, {"connection", "close"}, {"x", "1"}});
  EXPECT_EQ(server.Out(), "HEADERS 1 :status=200 content-type=text/event-stream x=1");
  EXPECT_EQ(server.Send(1, "hello", false), 0U);
  EXPECT_EQ(server.Out(), "DATA 1 5");
  EXPECT_EQ(server.Send(1, "", true), 0U);
  EXPECT_EQ(server.Out(), "DATA 1 0 end");
  EXPECT_EQ(server.reader.bodies[1], "hello");
  EXPECT_EQ(server.Told(), "1 GET /a end");
}

TEST(Http2Server, EndsWithTheLastBytes) {
  Server server;
  server.Feed(Headers(1, Request()));
  server.SendHead(1, 200, false, {}, 5);
  server.Send(1, "hello", true);
  EXPECT_EQ(server.Out(), "HEADERS 1 :status=200 content-length=5 | DATA 1 5 end");
}

TEST(Http2Server, MovesChunksWithoutCopies) {
  Server server;
  server.Feed(Headers(1, Request()));
  server.SendHead(1, 200, false);
  server.Out();
  Chunk big = Chunk::Copy(std::string(20000, 'x'));
  Buffer body;
  body.Append(big);
  EXPECT_EQ(server.codec->SendData(1, body, true), 20000U);
  Buffer out;
  server.codec->TakeOutput(out);
  out.Consume(9);
  EXPECT_EQ(out.Pop().data(), big.data());
  out.Consume(9);
  EXPECT_EQ(out.Pop().data(), big.data() + 16384);
}

// Heads ---------------------------------------------------------------------------------------

TEST(Http2Server, TakesEachMethodThatIsServed) {
  for (const std::string method : {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}) {
    Server server;
    server.Feed(Headers(1, Request(method)));
    EXPECT_EQ(server.Told(), "1 " + method + " /a end");
  }
}

TEST(Http2Server, TakesTheHostWhereThereIsNoAuthority) {
  Server server;
  server.Feed(Headers(
      1, {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"host", "b.example:81"}}));
  EXPECT_EQ(server.Told(), "1 GET / end");
  EXPECT_EQ(server.head().authority, "b.example:81");
  EXPECT_EQ(FieldsOf(server.head()), "host=b.example:81;");
}

TEST(Http2Server, TakesAHostThatIsTheAuthority) {
  Server server;
  server.Feed(Headers(1, Request("GET", "/", {{"host", "A"}, {"te", "trailers"}})));
  EXPECT_EQ(server.Told(), "1 GET / end");
}

TEST(Http2Server, JoinsTheCrumbsOfACookie) {
  Server server;
  server.Feed(Headers(
      1,
      Request("GET", "/", {{"cookie", "a=b"}, {"x", "1"}, {"cookie", "c=d"}, {"cookie", "e=f"}})));
  EXPECT_EQ(FieldsOf(server.head()), "cookie=a=b; c=d; e=f;x=1;");
}

TEST(Http2Server, CountsTheCrumbsOfACookieAsOneField) {
  CodecLimits limits;
  limits.header_fields = 2;
  Server server(limits);
  Lines crumbs(50, {"cookie", "a=b"});
  crumbs.emplace_back("x", "1");
  server.Feed(Headers(1, Request("GET", "/", crumbs)));
  EXPECT_EQ(server.Told(), "1 GET / end");
  crumbs.emplace_back("y", "1");
  server.Feed(Headers(3, Request("GET", "/", crumbs)));
  EXPECT_THAT(server.Told(), HasSubstr("3 refused:431"));
}

TEST(Http2Server, KeepsHeadsWhenTheInputIsGone) {
  Server server;
  server.Feed(Headers(1, Request("GET", "/kept", {{"name", "value"}})));
  Head head = std::move(*server.events.messages[1].head);
  server.Feed(Headers(3, Request("GET", "/other", {{"other", "thing"}})));
  EXPECT_EQ(head.target, "/kept");
  EXPECT_EQ(head.method, "GET");
  EXPECT_EQ(FieldsOf(head), "name=value;");
}

TEST(Http2Server, DropsTrailersAndEndsWithThem) {
  Server server;
  server.Feed(Headers(1, Request("POST"), 0) + Data(1, "body") + Headers(1, {{"x-sum", "1"}}));
  EXPECT_EQ(server.Told(), "1 POST /a +body end");
  EXPECT_FALSE(server.head().Has("x-sum"));
}

TEST(Http2Server, TellsWhoWantsToBeToldToGoOn) {
  Server server;
  server.Feed(Headers(1, Request("POST", "/a", {{"expect", "100-continue"}}), 0) +
              Headers(3, Request("POST", "/a", {{"expect", "100-continue"}})));
  EXPECT_TRUE(server.head(1).expects_continue);
  EXPECT_FALSE(server.head(3).expects_continue);  // it has no body
  server.SendHead(1, 100, false);
  server.SendHead(1, 101, false);  // there is no such thing
  server.SendHead(1, 200, true);
  server.SendHead(1, 100, false);  // too late
  EXPECT_EQ(server.Out(), "HEADERS 1 :status=100 | HEADERS 1 :status=200 end | RST 1 NO_ERROR");
}

struct Refused {
  std::string_view what;
  Lines lines;
  std::string_view status;
};

TEST(Http2Server, RefusesWithAnAnswerWhatHasAStatus) {
  const Refused rows[] = {
      {"CONNECT", {{":method", "CONNECT"}, {":authority", "a:443"}}, "405"},
      {"TRACE", Request("TRACE"), "405"},
      {"an unknown method", Request("BREW"), "405"},
      {"the server as a whole", Request("OPTIONS", "*"), "405"},
      {"a long path", Request("GET", "/" + std::string(16384, 'a')), "414"},
      {"another expectation", Request("POST", "/a", {{"expect", "tea"}}), "417"},
      {"a large field", Request("GET", "/a", {{"x", std::string(33000, 'a')}}), "431"},
      {"many fields", Request("GET", "/a", Lines(101, {"x", ""})), "431"},
      {"many bytes in small fields", Request("GET", "/a", Lines(98, {"x", std::string(400, 'a')})),
       "431"},
  };
  for (const Refused& row : rows) {
    Server server;
    std::string block = Block(row.lines);
    std::string first = block.substr(0, 16000);
    std::string bytes = Frame(1, kEnd | (first.size() == block.size() ? kEndHeaders : 0), 1, first);
    for (size_t at = first.size(); at < block.size(); at += 16000) {
      bool last = at + 16000 >= block.size();
      bytes += Frame(9, last ? kEndHeaders : 0, 1, std::string_view(block).substr(at, 16000));
    }
    EXPECT_TRUE(server.Feed(bytes)) << row.what;
    EXPECT_EQ(server.Told(), "1 refused:" + std::string(row.status)) << row.what;
    server.SendHead(1, 400, false);
    server.Send(1, "why", true);
    EXPECT_EQ(server.Out(), "HEADERS 1 :status=400 | DATA 1 3 end") << row.what;
    server.Feed(Headers(3, Request()));
    EXPECT_THAT(server.Told(), HasSubstr("3 GET /a end")) << row.what;
  }
}

TEST(Http2Server, R20RefusesALargeHeadThatIsSmallWhenCompressed) {
  CodecLimits limits;
  limits.header_bytes = 4096;
  Server server(limits);
  server.Feed(Headers(1, Request("GET", "/a", {{"x", std::string(4000, 'a')}})));
  EXPECT_EQ(server.Told(), "1 refused:431");
}

TEST(Http2Server, AnswersARefusalWhoseBodyComesAllTheSame) {
  Server server;
  server.Feed(Headers(1, Request("TRACE"), 0) + Data(1, "abc"));
  EXPECT_EQ(server.Told(), "1 refused:405");
  server.SendHead(1, 405, true);
  EXPECT_EQ(server.Out(), "HEADERS 1 :status=405 end | RST 1 NO_ERROR");
  EXPECT_TRUE(server.Feed(Data(1, "abc", kEnd)));
  EXPECT_EQ(server.Told(), "1 refused:405");
}

TEST(Http2Server, TellsWhenNobodyWaitsForARefusalAnyMore) {
  Server server;
  server.Feed(Headers(1, Request("TRACE"), 0) + Rst(1, 8));
  EXPECT_EQ(server.Told(), "1 refused:405 lost:other");
  server.SendHead(1, 405, true);
  EXPECT_EQ(server.Out(), "");
}

struct Bad {
  std::string_view what;
  Lines lines;
};

TEST(Http2Server, R25ResetsAStreamWhoseHeadIsMalformed) {
  auto without = [](std::string_view name) {
    Lines lines = Request();
    std::erase_if(lines, [&](const auto& line) { return line.first == name; });
    return lines;
  };
  auto with = [](std::string name, std::string value) {
    return Request("GET", "/a", {{std::move(name), std::move(value)}});
  };
  auto path = [](std::string text) { return Request("GET", std::move(text)); };
  auto authority = [&](std::string text) {
    Lines lines = without(":authority");
    lines.insert(lines.begin(), {":authority", std::move(text)});
    return lines;
  };
  Lines late = Request();
  late.emplace_back("x", "1");
  std::swap(late[3], late.back());
  Lines twice = Request();
  twice.insert(twice.begin(), {":path", "/b"});
  Lines scheme = without(":scheme");
  scheme.insert(scheme.begin(), {":scheme", "ftp"});
  const Bad rows[] = {
      {"an upper-case name", with("X-a", "1")},
      {"a space in a name", with("x a", "1")},
      {"a colon in a name", with("x:a", "1")},
      {"an empty name", with("", "1")},
      {"a control byte in a name", with("x\x01", "1")},
      {"a byte over 127 in a name", with("x\xe4", "1")},
      {"NUL in a value", with("x", std::string("a\0b", 3))},
      {"CR in a value", with("x", "a\rb")},
      {"LF in a value", with("x", "a\nb")},
      {"a whole line in a value", with("x", "a\r\nhost: b")},
      {"DEL in a value", with("x", "a\x7f")},
      {"a control byte in a value", with("x", "a\x01z")},
      {"a space before a value", with("x", " a")},
      {"a space behind a value", with("x", "a ")},
      {"a tab behind a value", with("x", "a\t")},
      {"connection", with("connection", "close")},
      {"keep-alive", with("keep-alive", "1")},
      {"proxy-connection", with("proxy-connection", "close")},
      {"transfer-encoding", with("transfer-encoding", "chunked")},
      {"upgrade", with("upgrade", "h2c")},
      {"te other than trailers", with("te", "gzip")},
      {"an unknown pseudo-header",
       {{":method", "GET"},
        {":scheme", "https"},
        {":authority", "a"},
        {":path", "/"},
        {":x", "1"}}},
      {"a pseudo-header of answers",
       {{":status", "200"},
        {":method", "GET"},
        {":scheme", "https"},
        {":authority", "a"},
        {":path", "/"}}},
      {":protocol",
       {{":method", "CONNECT"},
        {":protocol", "websocket"},
        {":scheme", "https"},
        {":authority", "a"},
        {":path", "/"}}},
      {"a late pseudo-header", late},
      {"a doubled pseudo-header", twice},
      {"no method", without(":method")},
      {"no scheme", without(":scheme")},
      {"no path", without(":path")},
      {"no authority and no host", without(":authority")},
      {"another scheme", scheme},
      {"CONNECT with a path", Request("CONNECT", "/a")},
      {"an empty path", path("")},
      {"a path without a slash", path("a")},
      {"an absolute path", path("https://a/b")},
      {"a star for GET", path("*")},
      {"a space in the path", path("/a b")},
      {"a tab in the path", path("/a\tb")},
      {"CR LF in the path", path("/a\r\nx: y")},
      {"NUL in the path", path(std::string("/a\0b", 4))},
      {"a fragment", path("/a#b")},
      {"a byte over 127 in the path", path("/\xc3\xa4")},
      {"an empty method", Request("")},
      {"a space in the method", Request("GE T")},
      {"an empty authority", authority("")},
      {"userinfo in the authority", authority("u:p@a")},
      {"a space in the authority", authority("a b")},
      {"a slash in the authority", authority("a/b")},
      {"a port that is none", authority("a:99999")},
      {"a host that differs", with("host", "b")},
      {"two hosts", Request("GET", "/a", {{"host", "a"}, {"host", "a"}})},
      {"a length that is no number", with("content-length", "1x")},
      {"a length with a sign", with("content-length", "+1")},
      {"a length too large for anybody", with("content-length", "99999999999999999999")},
      {"an empty length", with("content-length", "")},
      {"two lengths", Request("GET", "/a", {{"content-length", "0"}, {"content-length", "0"}})},
      {"a length without a body", with("content-length", "1")},
  };
  for (const Bad& row : rows) {
    Server server;
    EXPECT_TRUE(server.Feed(Headers(1, row.lines))) << row.what;
    EXPECT_EQ(server.Told(), "") << row.what;
    EXPECT_EQ(server.Out(), "RST 1 PROTOCOL_ERROR") << row.what;
    EXPECT_TRUE(server.Feed(Headers(3, Request()))) << row.what;
    EXPECT_EQ(server.Told(), "3 GET /a end") << row.what;
  }
}

// Bodies of requests --------------------------------------------------------------------------

TEST(Http2Server, ReadsBodiesOfStreamsThatTakeTurns) {
  Server server;
  server.Feed(Headers(1, Request("POST"), 0) + Headers(3, Request("PUT"), 0) + Data(3, "a") +
              Data(1, "1") + Padded(3, "b", 7) + Data(1, "2", kEnd) + Data(3, "c") +
              Padded(3, "", 3, kEnd));
  EXPECT_EQ(server.Told(), "1 POST /a +12 end | 3 PUT /a +abc end");
}

TEST(Http2Server, R20ReopensAStreamsWindowOnlyForWhatWasTaken) {
  Server server;
  server.Feed(Headers(1, Request("POST"), 0));
  for (int i = 0; i < 3; ++i) server.Feed(Data(1, std::string(16384, 'x')));
  server.Out();
  EXPECT_EQ(server.reader.windows[1], 0U);
  server.codec->Consumed(1, 16383);
  server.codec->Consumed(1, 16383);
  server.Out();
  EXPECT_EQ(server.reader.windows[1], 0U);  // not worth a frame yet
  server.codec->Consumed(1, 1);
  server.Out();
  EXPECT_EQ(server.reader.windows[1], 32767U);
  server.Feed(Data(1, std::string(16384, 'x'), kEnd));
  server.codec->Consumed(1, 32768);  // nothing more will come: no window is needed
  server.Out();
  EXPECT_EQ(server.reader.windows[1], 32767U);
}

TEST(Http2Server, LetsNoStalledStreamHoldUpAnother) {
  Server server;
  // Sixteen streams that nobody reads would take the whole connection window.
  for (StreamId id = 1; id <= 33; id += 2) {
    server.Feed(Headers(id, Request("POST"), 0));
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(server.Feed(Data(id, std::string(16384, 'x'))));
    EXPECT_TRUE(server.Feed(Data(id, std::string(16383, 'x'))));
  }
  EXPECT_EQ(server.Out(), "");
  EXPECT_GE(server.reader.windows[0], size_t{512} << 10);
  EXPECT_TRUE(server.Feed(Headers(35, Request("POST"), 0) + Data(35, "goes on", kEnd)));
  EXPECT_THAT(server.Told(), HasSubstr("35 POST /a +goes on end"));
}

TEST(Http2Server, RefusesABodyThatIsAnnouncedTooLarge) {
  CodecLimits limits;
  limits.body_bytes = 1000;
  Server server(limits);
  server.Feed(Headers(1, Request("POST", "/a", {{"content-length", "1001"}}), 0));
  EXPECT_EQ(server.Told(), "1 POST /a refused:413");
  server.Feed(Data(1, std::string(500, 'x')));
  server.SendHead(1, 413, false);
  server.Send(1, "too large", true);
  EXPECT_EQ(server.Out(), "HEADERS 1 :status=413 | DATA 1 9 end");
  // What is left is small: it is read and dropped.
  EXPECT_TRUE(server.Feed(Data(1, std::string(501, 'x'), kEnd)));
  EXPECT_EQ(server.Out(), "");
  EXPECT_EQ(server.Told(), "1 POST /a refused:413");
}

TEST(Http2Server, RefusesABodyThatGrowsTooLarge) {
  CodecLimits limits;
  limits.body_bytes = 1000;
  Server server(limits);
  server.Feed(Headers(1, Request("POST"), 0) + Data(1, std::string(1000, 'x')) + Data(1, "x") +
              Data(1, "y"));
  EXPECT_EQ(server.Told(), "1 POST /a +" + std::string(1000, 'x') + " refused:413");
  server.SendHead(1, 413, true);
  EXPECT_EQ(server.Out(), "HEADERS 1 :status=413 end | RST 1 NO_ERROR");
}

TEST(Http2Server, TakesABodyOfExactlyTheLimit) {
  CodecLimits limits;
  limits.body_bytes = 5;
  Server server(limits);
  server.Feed(Headers(1, Request("POST", "/a", {{"content-length", "5"}}), 0) +
              Data(1, "hello", kEnd));
  EXPECT_EQ(server.Told(), "1 POST /a +hello end");
}

TEST(Http2Server, ResetsAStreamWhoseBodyGrowsTooLargeWhileItIsAnswered) {
  CodecLimits limits;
  limits.body_bytes = 4;
  Server server(limits);
  server.Feed(Headers(1, Request("POST"), 0));
  server.SendHead(1, 200, false);
  server.Feed(Data(1, "hello"));
  EXPECT_EQ(server.Told(), "1 POST /a lost:413");
  EXPECT_EQ(server.Out(), "HEADERS 1 :status=200 | RST 1 CANCEL");
}

TEST(Http2Server, R25ResetsAStreamWhoseBodyIsNotAsLongAsAnnounced) {
  for (const std::string& rest :
       {Data(1, "abc", kEnd), Data(1, "abcdef", kEnd), Data(1, "abcd") + Data(1, "efg"),
        Data(1, "", kEnd), Data(1, "abc") + Headers(1, {{"x", "y"}})}) {
    Server server;
    server.Feed(Headers(1, Request("POST", "/a", {{"content-length", "5"}}), 0));
    EXPECT_TRUE(server.Feed(rest));
    EXPECT_THAT(server.Told(), HasSubstr(" lost:400"));
    EXPECT_FALSE(server.events.messages[1].end);
    EXPECT_EQ(server.Out(), "RST 1 PROTOCOL_ERROR");
  }
}

TEST(Http2Server, ReadsTheRestOfASmallBodyThatWasAnsweredEarly) {
  Server server;
  server.Feed(Headers(1, Request("POST", "/a", {{"content-length", "65536"}}), 0));
  server.SendHead(1, 401, true);
  EXPECT_EQ(server.Out(), "HEADERS 1 :status=401 end");
  server.codec->Reset(1, Fault::kCancelled);  // nobody reads it, but the answer was complete
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(server.Feed(Data(1, std::string(16384, 'x'))));
  EXPECT_EQ(server.Out(), "");
  EXPECT_EQ(server.reader.windows[1], 32768U);
  EXPECT_TRUE(server.Feed(Data(1, std::string(16384, 'x'), kEnd)));
  EXPECT_EQ(server.Told(), "1 POST /a");
}

TEST(Http2Server, StopsALargeBodyThatWasAnsweredEarly) {
  for (const Lines& length : {Lines{{"content-length", "1000000"}}, Lines{}}) {
    Server server;
    server.Feed(Headers(1, Request("POST", "/a", length), 0));
    server.SendHead(1, 401, false);
    server.Send(1, "no", true);
    EXPECT_EQ(server.Out(), "HEADERS 1 :status=401 | DATA 1 2 end | RST 1 NO_ERROR");
    server.codec->Reset(1, Fault::kCancelled);
    EXPECT_EQ(server.Out(), "");
    EXPECT_TRUE(server.Feed(Data(1, "still on its way")));
  }
}

// Answers --------------------------------------------------------------------------------------

TEST(Http2Server, SendsNoBodyWhereThereIsNone) {
  struct Row {
    std::string_view method;
    int status;
    std::string_view out;
  };
  for (const Row& row : {Row{"HEAD", 200, "HEADERS 1 :status=200 content-length=5 end"},
                         Row{"GET", 204, "HEADERS 1 :status=204 end"},
                         Row{"GET", 304, "HEADERS 1 :status=304 content-length=5 end"}}) {
    Server server;
    server.Feed(Headers(1, Request(std::string(row.method))));
    server.SendHead(1, row.status, false, {}, 5);
    EXPECT_EQ(server.Send(1, "hello", true), 0U);
    EXPECT_EQ(server.Out(), row.out);
  }
}

TEST(Http2Server, LeavesOutWhatCannotBeSent) {
  Server server;
  server.Feed(Headers(1, Request()));
  server.SendHead(1, 200, true,
                  {{"Transfer-Encoding", "chunked"},
                   {"Keep-Alive", "1"},
                   {"Content-Length", "7"},
                   {"bad name", "1"},
                   {"bad-value", "a\r\nb"},
                   {"X-Good", " trimmed "}});
  EXPECT_EQ(server.Out(), "HEADERS 1 :status=200 x-good=trimmed end");
}

TEST(Http2Server, StopsAtTheStreamsWindowAndGoesOnWithIt) {
  Server server;
  server.Feed(Headers(1, Request()));
  server.SendHead(1, 200, false);
  Buffer body;
  for (int i = 0; i < 10; ++i) body.AppendCopy(std::string(10000, static_cast<char>('a' + i)));
  std::string all = body.ToString();
  EXPECT_EQ(server.codec->SendData(1, body, true), 65535U);
  server.events.on_room = [&](StreamId id) { server.codec->SendData(id, body, true); };
  server.Feed(Window(1, 20000));
  EXPECT_EQ(body.size(), all.size() - 65535);  // the connection's window is closed as well
  server.Feed(Window(0, 100000));
  EXPECT_EQ(body.size(), all.size() - 85535);
  server.Feed(Window(1, 20000));
  EXPECT_TRUE(body.empty());
  EXPECT_THAT(server.Out(), HasSubstr("end"));
  EXPECT_EQ(server.reader.bodies[1], all);
}

TEST(Http2Server, GivesEachStreamItsShareOfTheConnectionsWindow) {
  Server server;
  std::map<StreamId, Buffer> bodies;
  for (StreamId id = 1; id <= 5; id += 2) {
    server.Feed(Headers(id, Request()));
    server.SendHead(id, 200, false);
    for (int i = 0; i < 6; ++i) bodies[id].AppendCopy(std::string(10000, 'x'));
  }
  server.events.on_room = [&](StreamId id) { server.codec->SendData(id, bodies[id], true); };
  for (auto& [id, body] : bodies) server.codec->SendData(id, body, true);
  server.Out();
  EXPECT_EQ(bodies[1].size(), 0U);
  EXPECT_EQ(bodies[3].size(), 54465U);  // took the 5535 that the first had left
  EXPECT_EQ(bodies[5].size(), 60000U);
  for (int i = 0; i < 10; ++i) {
    server.Feed(Window(0, 1000));
    server.Out();
  }
  // Whoever got something is the last to be asked again.
  EXPECT_EQ(bodies[3].size(), 49465U);
  EXPECT_EQ(bodies[5].size(), 55000U);
  server.Feed(Window(0, 200000));
  server.Out();
  EXPECT_EQ(server.reader.bodies[3].size(), 60000U);
  EXPECT_EQ(server.reader.bodies[5].size(), 60000U);
}

TEST(Http2Server, SendsTheEndWhenTheWindowOpensAgain) {
  Server server;
  server.Feed(Settings({{4, 5}}) + Headers(1, Request()));
  server.SendHead(1, 200, false);
  EXPECT_EQ(server.Send(1, "hello", false), 0U);
  EXPECT_EQ(server.Send(1, "", true), 0U);
  EXPECT_EQ(server.Out(), "HEADERS 1 :status=200 | DATA 1 5");
  server.Feed(Window(1, 1000));
  EXPECT_EQ(server.Out(), "DATA 1 0 end");
  EXPECT_EQ(server.events.messages[1].rooms, 0);
}

TEST(Http2Server, TellsOfRoomWhenTheSettingsGrow) {
  Server server;
  server.Feed(Settings({{4, 3}}) + Headers(1, Request()));
  server.SendHead(1, 200, false);
  EXPECT_EQ(server.Send(1, "hello", true), 2U);
  server.Feed(Settings({{4, 3}}));
  EXPECT_EQ(server.events.messages[1].rooms, 0);
  server.Feed(Settings({{4, 100}}));
  EXPECT_EQ(server.events.messages[1].rooms, 1);
  EXPECT_EQ(server.Send(1, "lo", true), 0U);
  server.Out();
  EXPECT_EQ(server.reader.bodies[1], "hello");
}

TEST(Http2Server, BreaksOffAnAnswerThatIsNotAsLongAsAnnounced) {
  struct Row {
    std::string_view body;
    bool end;
  };
  for (const Row& row : {Row{"hell", true}, Row{"hello!", true}, Row{"hello!", false}}) {
    Server server;
    server.Feed(Headers(1, Request()));
    server.SendHead(1, 200, false, {}, 5);
    EXPECT_EQ(server.Send(1, row.body, row.end), 0U);
    EXPECT_EQ(server.Out(), "HEADERS 1 :status=200 content-length=5 | RST 1 INTERNAL_ERROR");
    EXPECT_EQ(server.Send(1, "more", true), 0U);
    EXPECT_EQ(server.Out(), "");
  }
}

TEST(Http2Server, TakesAndDropsWhatBelongsToNoStream) {
  Server server;
  EXPECT_EQ(server.Send(7, "hello", true), 0U);
  server.SendHead(7, 200, true);
  server.codec->Consumed(7, 5);
  server.codec->Reset(7, Fault::kCancelled);
  server.Feed(Headers(1, Request()));
  EXPECT_EQ(server.Send(1, "before its head", true), 0U);
  server.SendHead(1, 200, true);
  server.SendHead(1, 200, true);
  EXPECT_EQ(server.Send(1, "after its end", true), 0U);
  EXPECT_EQ(server.Out(), "HEADERS 1 :status=200 end");
}

TEST(Http2Server, ResetsAStreamWithTheRightCode) {
  struct Row {
    Fault fault;
    std::string_view code;
  };
  for (const Row& row :
       {Row{Fault::kCancelled, "CANCEL"}, Row{Fault::kMalformed, "PROTOCOL_ERROR"},
        Row{Fault::kTruncated, "INTERNAL_ERROR"}, Row{Fault::kReset, "INTERNAL_ERROR"}}) {
    Server server;
    server.Feed(Headers(1, Request()));
    server.SendHead(1, 200, false);
    server.Send(1, "half", false);
    server.codec->Reset(1, row.fault);
    EXPECT_EQ(server.Out(), "HEADERS 1 :status=200 | DATA 1 4 | RST 1 " + std::string(row.code));
    EXPECT_EQ(server.Send(1, "rest", true), 0U);
    EXPECT_EQ(server.Out(), "");
    EXPECT_EQ(server.Told(), "1 GET /a end");  // who resets is not told
  }
}

TEST(Http2Server, TellsThatTheClientTookItsRequestBack) {
  Server server;
  server.Feed(Headers(1, Request()) + Headers(3, Request("POST"), 0));
  server.SendHead(1, 200, false);
  server.Feed(Rst(1, 8) + Rst(3, 8));
  EXPECT_EQ(server.Told(), "1 GET /a end lost:other | 3 POST /a lost:other");
  EXPECT_EQ(server.events.messages[1].resets[0].first.fault, Fault::kCancelled);
  EXPECT_EQ(server.Send(1, "rest", true), 0U);
}

TEST(Http2Server, TellsOfNoResetAfterACompleteExchange) {
  Server server;
  server.Feed(Headers(1, Request()));
  server.SendHead(1, 200, true);
  server.Feed(Rst(1, 8));
  EXPECT_EQ(server.Told(), "1 GET /a end");
}

TEST(Http2Server, DropsWhatWaitsOfAStreamThatIsReset) {
  Server server;
  server.Feed(Settings({{4, 3}}) + Headers(1, Request()) + Headers(3, Request()));
  server.SendHead(1, 200, false);
  EXPECT_EQ(server.Send(1, "hello", true), 2U);
  server.Feed(Rst(1, 8));
  server.Feed(Window(0, 1000));
  EXPECT_EQ(server.events.messages[1].rooms, 0);
  EXPECT_EQ(server.Told(), "1 GET /a end lost:other | 3 GET /a end");
}

// From within events ---------------------------------------------------------------------------

TEST(Http2Server, CanBeAnsweredFromWithinEvents) {
  Server server;
  server.events.on_head = [&](StreamId id, bool end) {
    if (end) server.SendHead(id, 204, true);
  };
  server.events.on_data = [&](StreamId id, size_t size, bool end) {
    server.codec->Consumed(id, size);
    if (!end) return;
    server.SendHead(id, 200, false);
    server.Send(id, "ok", true);
  };
  server.Feed(Headers(1, Request()) + Headers(3, Request("POST"), 0) + Data(3, "x", kEnd) +
              Headers(5, Request()));
  EXPECT_EQ(server.Told(), "1 GET /a end | 3 POST /a +x end | 5 GET /a end");
  EXPECT_EQ(server.Out(),
            "HEADERS 1 :status=204 end | HEADERS 3 :status=200 | DATA 3 2 end | "
            "HEADERS 5 :status=204 end");
}

TEST(Http2Server, CanResetStreamsFromWithinEvents) {
  Server server;
  server.events.on_head = [&](StreamId id, bool) { server.codec->Reset(id, Fault::kCancelled); };
  server.Feed(Headers(1, Request("POST", "/a", {{"content-length", "99999999999"}}), 0) +
              Data(1, "x") + Headers(3, Request()));
  EXPECT_EQ(server.Told(), "1 POST /a | 3 GET /a end");
  EXPECT_EQ(server.Out(), "RST 1 CANCEL | RST 3 CANCEL");
  server.events.on_head = nullptr;
  server.events.on_data = [&](StreamId id, size_t, bool) {
    server.codec->Reset(id, Fault::kCancelled);
    server.codec->Reset(id + 2, Fault::kCancelled);
  };
  server.Feed(Headers(5, Request("POST"), 0) + Headers(7, Request("POST"), 0) + Data(5, "x") +
              Data(7, "y"));
  EXPECT_EQ(server.Out(), "RST 5 CANCEL | RST 7 CANCEL");
  server.events.on_reset = [&](StreamId, bool) {
    for (StreamId id = 9; id <= 13; id += 2) server.codec->Reset(id, Fault::kCancelled);
  };
  server.Feed(Headers(9, Request()) + Headers(11, Request()) + Headers(13, Request()) + Rst(9, 8));
  EXPECT_EQ(server.Out(), "RST 11 CANCEL | RST 13 CANCEL");
  EXPECT_FALSE(server.events.misuse);
}

// The end of a connection ----------------------------------------------------------------------

TEST(Http2Server, R39GivesNoticeBeforeItGoesAway) {
  Server server;
  server.Feed(Headers(1, Request()));
  server.reader.quiet = false;
  server.codec->GoAway();
  EXPECT_EQ(server.Out(), "GOAWAY 2147483647 NO_ERROR | PING");
  EXPECT_FALSE(server.codec->must_close());
  // What was under way is still served.
  server.Feed(Headers(3, Request()) + Frame(6, kAck, 0, std::string(8, '\0')));
  EXPECT_EQ(server.Out(), "GOAWAY 3 NO_ERROR");
  EXPECT_TRUE(server.codec->must_close());
  EXPECT_TRUE(server.Feed(Headers(5, Request())));
  EXPECT_EQ(server.Told(), "1 GET /a end | 3 GET /a end");
  server.SendHead(1, 200, true);
  server.SendHead(3, 200, true);
  EXPECT_EQ(server.Out(), "HEADERS 1 :status=200 end | HEADERS 3 :status=200 end");
}

TEST(Http2Server, R39GoesAwayAtOnceWhenItIsAskedTwice) {
  Server server;
  server.codec->GoAway();
  server.codec->GoAway();
  server.codec->GoAway();
  EXPECT_EQ(server.Out(), "GOAWAY 2147483647 NO_ERROR | GOAWAY 0 NO_ERROR");
  EXPECT_TRUE(server.codec->must_close());
}

TEST(Http2Server, ServesWhatIsThereWhenTheClientGoesAway) {
  Server server;
  server.Feed(Headers(1, Request()) + GoAway(0));
  EXPECT_EQ(server.events.went_away, 0U);
  EXPECT_TRUE(server.codec->must_close());
  server.SendHead(1, 200, false);
  server.Send(1, "hello", true);
  EXPECT_EQ(server.Out(), "HEADERS 1 :status=200 | DATA 1 5 end");
}

TEST(Http2Server, TellsOfRequestsThatTheEndCuts) {
  Server server;
  server.Feed(Headers(1, Request()) + Headers(3, Request("POST"), 0) + Data(3, "x"));
  server.codec->ReceiveEof(server.events);
  EXPECT_EQ(server.Told(), "1 GET /a end | 3 POST /a +x lost:truncated");
  EXPECT_TRUE(server.codec->must_close());
  EXPECT_EQ(server.Send(3, "x", true), 0U);
}

TEST(Http2Server, SaysWhetherAHeadIsUnderWay) {
  Server server;
  EXPECT_FALSE(server.codec->mid_message());
  std::string block = Block(Request());
  std::string head = Frame(1, kEnd, 1, block.substr(0, 5));
  std::string rest = Frame(9, kEndHeaders, 1, block.substr(5));
  for (std::string_view piece :
       {std::string_view(head).substr(0, 12), std::string_view(head).substr(12),
        std::string_view(rest).substr(0, 5), std::string_view(rest).substr(5, 5)}) {
    server.Feed(piece);
    EXPECT_TRUE(server.codec->mid_message());
  }
  server.Feed(std::string_view(rest).substr(10));
  EXPECT_FALSE(server.codec->mid_message());
  EXPECT_EQ(server.Told(), "1 GET /a end");
  server.Feed(Headers(3, Request("POST"), 0) + Data(3, "half").substr(0, 11));
  EXPECT_FALSE(server.codec->mid_message());
  server.SendHead(3, 401, true);
  EXPECT_FALSE(server.codec->mid_message());
}

// Pieces ---------------------------------------------------------------------------------------

TEST(Http2Server, ReadsTheSameHoweverTheBytesAreCut) {
  std::string all(kPreface);
  all += Settings({{4, 100000}}) + SettingsAck();
  std::string block = Block(Request("POST", "/cut", {{"x-long", std::string(300, 'v')}}));
  all += Frame(1, 0, 1, block.substr(0, 40)) + Frame(9, 0, 1, "") +
         Frame(9, kEndHeaders, 1, block.substr(40));
  all += Headers(3, Request("PUT", "/p", {{"content-length", "600"}}), 0);
  all += Data(1, "first ") + Padded(3, std::string(300, 'p'), 200) + Ping() + Window(0, 70000);
  all += Headers(5, Request("GET", "/bad path")) + Data(1, "second") + Frame(99, 7, 0, "unknown");
  all += Headers(7, Request("TRACE"), 0) + Data(7, "dropped");
  all += Headers(9, Request("POST", "/taken-back"), 0) + Data(9, "x") + Rst(9, 8);
  all += Data(3, std::string(300, 'q'), kEnd) + Headers(1, {{"trailer", "t"}}) +
         Padded(7, "", 20, kEnd) + Headers(11, Request("GET", "/last"));
  auto run = [&](const std::function<size_t(size_t)>& next) {
    ManualClock clock;
    std::unique_ptr<Codec> codec = MakeHttp2Server({}, clock);
    Events events;
    Reader reader;
    for (size_t at = 0; at < all.size();) {
      size_t size = std::min(next(at), all.size() - at);
      Result<Unit> read =
          codec->Receive(ExactChunk(std::string_view(all).substr(at, size)), events);
      if (!read) return read.error().what;
      at += size;
    }
    return events.Text() + "\n" + reader.Take(*codec);
  };
  std::string whole = run([&](size_t) { return all.size(); });
  EXPECT_THAT(whole, HasSubstr("1 POST /cut +first second end | 3 PUT /p +pp"));
  EXPECT_THAT(whole,
              HasSubstr("7 refused:405 | 9 POST /taken-back +x lost:other | 11 GET /last end"));
  EXPECT_EQ(run([](size_t) { return size_t{1}; }), whole);
  for (size_t cut = 1; cut < all.size(); ++cut) {
    ASSERT_EQ(run([&](size_t at) { return at == 0 ? cut : all.size(); }), whole) << cut;
  }
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    ASSERT_EQ(run([&](size_t) { return 1 + random() % (1 + random() % 120); }), whole) << seed;
  }
}

}  // namespace
}  // namespace relay::h2
