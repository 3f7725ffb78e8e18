// SPDX-License-Identifier: MIT
// What a hostile peer of HTTP/2 may do, and what it gets for it (R20-R25).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/core/http/http2_peer.h"

namespace relay::h2 {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::string_view kCalm = "ENHANCE_YOUR_CALM";

// The code of the GOAWAY that ended the connection, or "".
std::string EndOf(Server& server) {
  std::string out = server.Out();
  size_t at = out.rfind("GOAWAY ");
  if (at == std::string::npos) return "";
  return out.substr(out.rfind(' ') + 1);
}

// How often `frames(i)` may come at once before the connection ends; `most` if it never does.
int Endures(Server& server, int most, const std::function<std::string(int)>& frames) {
  for (int i = 0; i < most; ++i) {
    if (!server.Feed(frames(i))) return i;
  }
  return most;
}

StreamId Odd(int i) {
  return static_cast<StreamId>(2 * i + 1);
}

// Floods ---------------------------------------------------------------------------------------

TEST(Http2Abuse, R22RapidResetEndsTheConnection) {
  Server server;
  int count =
      Endures(server, 1000, [](int i) { return Headers(Odd(i), Request()) + Rst(Odd(i), 8); });
  EXPECT_EQ(count, 100);
  EXPECT_EQ(EndOf(server), kCalm);
  EXPECT_EQ(server.failure->party, Party::kClient);
  EXPECT_TRUE(server.codec->must_close());
  size_t told = server.events.messages.size();
  EXPECT_FALSE(server.Feed(Headers(1001, Request())));
  EXPECT_EQ(server.events.messages.size(), told);
  EXPECT_EQ(server.Out(), "");
}

TEST(Http2Abuse, R22ResetsAreForgivenWithTime) {
  Server server;
  auto reset = [&](int i) { return Headers(Odd(i), Request()) + Rst(Odd(i), 8); };
  EXPECT_EQ(Endures(server, 100, reset), 100);
  for (int i = 100; i < 500; ++i) {
    server.clock.Advance(milliseconds(50));  // twenty a second
    ASSERT_TRUE(server.Feed(reset(i))) << i;
  }
  EXPECT_TRUE(server.Feed(Headers(1001, Request())));
  server.clock.Advance(milliseconds(40));
  EXPECT_FALSE(server.Feed(Rst(1001, 8)));
}

TEST(Http2Abuse, R22ResetsThatAreMadeOfUsCountAsTheClients) {
  const std::function<std::string(StreamId)> rows[] = {
      [](StreamId id) { return Headers(id, Request("GET", "bad")); },
      [](StreamId id) { return Headers(id, Request("POST"), 0) + Window(id, 0x7fffffff); },
      [](StreamId id) {
        return Headers(id, Request("POST", "/a", {{"content-length", "1"}}), 0) + Data(id, "ab");
      },
      [](StreamId id) { return Headers(id, Request("POST"), 0) + Headers(id, {{"X", "y"}}); },
  };
  for (const auto& row : rows) {
    Server server;
    EXPECT_EQ(Endures(server, 1000, [&](int i) { return row(Odd(i)); }), 100);
    EXPECT_EQ(EndOf(server), kCalm);
  }
}

TEST(Http2Abuse, R22ResetsOfOurOwnDoNotCount) {
  Server server;
  server.events.on_head = [&](StreamId id, bool end) {
    if (end) {
      server.codec->Reset(id, Fault::kReset);
    } else {
      server.SendHead(id, 401, true);
    }
    server.Out();
  };
  EXPECT_EQ(Endures(server, 1000, [](int i) { return Headers(Odd(i), Request()); }), 1000);
  auto half = [](int i) { return Headers(Odd(i + 1000), Request("POST"), 0); };
  EXPECT_EQ(Endures(server, 1000, half), 1000);
}

TEST(Http2Abuse, R20StreamsOverTheLimitAreNotServed) {
  CodecLimits limits;
  limits.streams = 3;
  Server server(limits);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(server.Feed(Headers(Odd(i), Request())));
  EXPECT_FALSE(server.Feed(Headers(7, Request())));
  EXPECT_EQ(EndOf(server), "PROTOCOL_ERROR");
  EXPECT_EQ(server.events.messages.size(), 3U);
}

TEST(Http2Abuse, R20StreamsOverTheLimitAreRefusedBeforeItIsKnown) {
  CodecLimits limits;
  limits.streams = 2;
  ManualClock clock;
  std::unique_ptr<Codec> codec = MakeHttp2Server(limits, clock);
  Events events;
  Reader reader;
  reader.quiet = true;
  std::string bytes = std::string(kPreface) + Settings();
  for (int i = 0; i < 3; ++i) bytes += Headers(Odd(i), Request());
  EXPECT_TRUE(codec->Receive(ExactChunk(bytes), events));
  EXPECT_EQ(events.Text(), "1 GET /a end | 3 GET /a end");
  EXPECT_EQ(reader.Take(*codec), "RST 5 REFUSED_STREAM");
}

TEST(Http2Abuse, R20PlacesAreFreeAgainAfterAnswersAndResets) {
  CodecLimits limits;
  limits.streams = 2;
  Server server(limits);
  for (int i = 0; i < 90; ++i) {
    ASSERT_TRUE(server.Feed(Headers(Odd(2 * i), Request()) + Headers(Odd(2 * i + 1), Request())));
    server.SendHead(Odd(2 * i), 200, true);
    ASSERT_TRUE(server.Feed(Rst(Odd(2 * i + 1), 8)));
  }
}

TEST(Http2Abuse, R23ContinuationIsBounded) {
  std::string block = Block(Request());
  struct Row {
    std::string_view what;
    int frames;
    size_t each;
    bool goes_on;
  };
  for (const Row& row : {Row{"eight frames", 8, 10, true}, Row{"nine frames", 9, 10, false},
                         Row{"nine empty frames", 9, 0, false}, Row{"32 KiB", 2, 16384, true},
                         Row{"more than 32 KiB", 3, 16000, false}}) {
    Server server;
    EXPECT_TRUE(server.Feed(Frame(1, kEnd, 1, block)));
    // Fields of the dynamic table's size update and the like would do as well.
    std::string more = row.each == 0 ? "" : Block({{"x", std::string(row.each - 5, 'a')}});
    if (row.each > 1000) more = Block({{"x", std::string(row.each - 6, 'a')}});
    more.resize(std::min(more.size(), row.each));
    bool goes_on = true;
    for (int i = 0; i < row.frames && goes_on; ++i) {
      goes_on = server.Feed(Frame(9, i + 1 == row.frames ? kEndHeaders : 0, 1, more));
    }
    EXPECT_EQ(goes_on, row.goes_on) << row.what;
    if (!row.goes_on) EXPECT_EQ(EndOf(server), kCalm) << row.what;
    EXPECT_EQ(server.events.messages.size(), row.goes_on ? 1U : 0U) << row.what;
  }
}

TEST(Http2Abuse, R23ContinuationThatNeverEndsIsCutOffByItsHeader) {
  Server server;
  EXPECT_TRUE(server.Feed(Frame(1, kEnd, 1, Block(Request()))));
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(server.Feed(Frame(9, 0, 1, "")));
  // The ninth's header is enough: its payload is not waited for.
  EXPECT_FALSE(server.Feed(Frame(9, 0, 1, std::string(1000, 'x')).substr(0, 9)));
}

TEST(Http2Abuse, R20ASmallBlockMayNotUnfoldToAHugeHead) {
  // One field of 4000 bytes goes into the table, then is named in one byte each.
  std::string block = Block(Request());
  std::string value(4000, 'b');
  block += '\x40' + HpackLength(1) + "x" + HpackLength(value.size()) + value;
  std::string few = block + std::string(9, '\xbe');
  std::string many = block + std::string(12000, '\xbe');
  Server server;
  EXPECT_TRUE(server.Feed(Frame(1, kEnd | kEndHeaders, 1, few)));
  EXPECT_EQ(server.Told(), "1 refused:431");
  EXPECT_TRUE(server.Feed(Frame(1, kEnd | kEndHeaders, 3, many)));
  EXPECT_EQ(server.Out(), "RST 3 ENHANCE_YOUR_CALM");
  EXPECT_EQ(server.Told(), "1 refused:431");
  // The same in trailers, of which nothing would be kept.
  EXPECT_TRUE(server.Feed(Headers(5, Request("POST"), 0) +
                          Frame(1, kEnd | kEndHeaders, 5, std::string(12000, '\xbe'))));
  EXPECT_EQ(server.Out(), "RST 5 ENHANCE_YOUR_CALM");
  EXPECT_THAT(server.Told(), HasSubstr("5 POST /a lost:400"));
  EXPECT_TRUE(server.Feed(Headers(7, Request())));
  EXPECT_THAT(server.Told(), HasSubstr("7 GET /a end"));
}

struct Flood {
  std::string_view what;
  std::function<std::string(int)> frame;
  int least;  // that must be endured at once
  int most;   // with which the connection must have ended
};

TEST(Http2Abuse, R24FramesThatNobodyNeedsEndTheConnection) {
  const Flood rows[] = {
      {"SETTINGS", [](int) { return Settings(); }, 1000, 1011},
      {"PING", [](int) { return Ping(); }, 1000, 1011},
      {"answers to no PING", [](int) { return Ping(kAck); }, 1000, 1001},
      {"empty DATA", [](int) { return Data(1, ""); }, 1000, 1001},
      {"DATA of nothing but padding", [](int) { return Padded(1, "", 10); }, 1000, 1001},
      {"DATA for a stream that is over", [](int) { return Data(3, "x"); }, 1000, 1001},
      {"PRIORITY", [](int) { return Frame(2, 0, 1, Big(0, 5)); }, 1000, 1001},
      {"tiny windows", [](int) { return Window(0, 1); }, 1000, 1001},
      {"tiny windows of a stream", [](int) { return Window(1, 63); }, 1000, 1001},
      {"windows of a stream that is over", [](int) { return Window(3, 1000); }, 1000, 1001},
      {"unknown frames", [](int i) { return Frame(uint8_t(10 + i % 200), 0, 0, "x"); }, 1000, 1001},
      {"HEADERS of a stream that is over", [](int) { return Headers(3, {{"x", "y"}}); }, 1000,
       1001},
      {"resets of a stream that is over", [](int) { return Rst(3, 8); }, 1000, 1001},
      {"all sorts", [](int i) { return i % 2 == 0 ? Window(0, 1) : Frame(20, 0, 1, ""); }, 1000,
       1001},
  };
  for (const Flood& row : rows) {
    Server server;
    server.Feed(Headers(1, Request("POST"), 0) + Headers(3, Request("POST"), 0));
    server.codec->Reset(3, Fault::kCancelled);
    int endured = 0;
    for (; endured < 3000; ++endured) {
      if (!server.Feed(row.frame(endured))) break;
      server.Out();  // the client reads all that it is answered
    }
    EXPECT_GE(endured, row.least) << row.what;
    EXPECT_LT(endured, row.most) << row.what;
    EXPECT_EQ(EndOf(server), kCalm) << row.what;
  }
}

TEST(Http2Abuse, R24AFewOddFramesASecondAreEndured) {
  Server server;
  server.Feed(Headers(1, Request("POST"), 0));
  for (int i = 0; i < 300; ++i) {
    std::string odd;
    for (int j = 0; j < 10; ++j) odd += Data(1, "") + Window(0, 1) + Frame(77, 0, 0, "") + Ping();
    ASSERT_TRUE(server.Feed(odd)) << i;
    server.Out();
    server.clock.Advance(seconds(1));
  }
}

TEST(Http2Abuse, R24NormalWindowsAndPingsAreNoOddities) {
  Server server;
  server.Feed(Headers(1, Request()));
  server.SendHead(1, 200, false);
  for (int i = 0; i < 5000; ++i) {
    ASSERT_TRUE(server.Feed(Window(0, 100) + Window(1, 100)));
    ASSERT_EQ(server.Send(1, "one more event of a stream of text", false), 0U);
  }
}

TEST(Http2Abuse, R24AnswersThatNobodyTakesAreBounded) {
  Server server;
  std::string pings;
  for (int i = 0; i < 900; ++i) pings += Ping();
  EXPECT_TRUE(server.Feed(pings));
  EXPECT_FALSE(server.Feed(pings));
  EXPECT_EQ(EndOf(server), kCalm);
  Server other;
  std::string settings;
  for (int i = 0; i < 1100; ++i) settings += Settings();
  EXPECT_FALSE(other.Feed(settings));
  EXPECT_EQ(EndOf(other), kCalm);
}

// Broken rules ---------------------------------------------------------------------------------

struct Broken {
  std::string_view what;
  std::string bytes;
  std::string_view code;
};

TEST(Http2Abuse, R21BrokenConnectionsEndWithTheRightCode) {
  std::string pad = Frame(0, kPadded, 1, Big(9, 1) + std::string(3, 'x'));
  const Broken rows[] = {
      {"DATA on stream 0", Data(0, "x"), "PROTOCOL_ERROR"},
      {"DATA on an idle stream", Data(5, "x"), "PROTOCOL_ERROR"},
      {"DATA with more padding than payload", pad, "PROTOCOL_ERROR"},
      {"DATA after the end", Headers(3, Request()) + Data(3, "x"), "STREAM_CLOSED"},
      {"HEADERS on stream 0", Headers(0, Request()), "PROTOCOL_ERROR"},
      {"HEADERS on an even stream", Headers(2, Request()), "PROTOCOL_ERROR"},
      {"HEADERS of a stream that was passed over",
       Headers(7, Request("POST"), 0) + Headers(5, Request()), "PROTOCOL_ERROR"},
      {"HEADERS after the end", Headers(3, Request()) + Headers(3, Request()), "STREAM_CLOSED"},
      {"a head within a head", Frame(1, kEnd, 3, "") + Headers(5, Request()), "PROTOCOL_ERROR"},
      {"DATA within a head", Frame(1, kEnd, 3, "") + Data(1, "x"), "PROTOCOL_ERROR"},
      {"CONTINUATION of another stream", Frame(1, kEnd, 3, "") + Frame(9, kEndHeaders, 1, ""),
       "PROTOCOL_ERROR"},
      {"CONTINUATION of nothing", Frame(9, kEndHeaders, 1, ""), "PROTOCOL_ERROR"},
      {"a block that is no HPACK", Frame(1, kEnd | kEndHeaders, 3, "\xff\xff\xff\xff\xff"),
       "COMPRESSION_ERROR"},
      {"a block that ends within a field", Frame(1, kEnd | kEndHeaders, 3, "\x10\x05xx"),
       "COMPRESSION_ERROR"},
      {"PRIORITY on stream 0", Frame(2, 0, 0, Big(0, 5)), "PROTOCOL_ERROR"},
      {"PRIORITY of a wrong size", Frame(2, 0, 1, Big(0, 4)), "FRAME_SIZE_ERROR"},
      {"RST_STREAM on stream 0", Rst(0, 8), "PROTOCOL_ERROR"},
      {"RST_STREAM of an idle stream", Rst(5, 8), "PROTOCOL_ERROR"},
      {"RST_STREAM of a wrong size", Frame(3, 0, 1, "x"), "FRAME_SIZE_ERROR"},
      {"SETTINGS on a stream", Frame(4, 0, 1, ""), "PROTOCOL_ERROR"},
      {"SETTINGS of a wrong size", Frame(4, 0, 0, "12345"), "FRAME_SIZE_ERROR"},
      {"an acknowledgement that says something", Frame(4, kAck, 0, Big(0, 6)), "FRAME_SIZE_ERROR"},
      {"an acknowledgement of nothing", SettingsAck(), "PROTOCOL_ERROR"},
      {"ENABLE_PUSH of 2", Settings({{2, 2}}), "PROTOCOL_ERROR"},
      {"a window over 2^31-1", Settings({{4, 0x80000000}}), "FLOW_CONTROL_ERROR"},
      {"a frame size too small", Settings({{5, 16383}}), "PROTOCOL_ERROR"},
      {"a frame size too large", Settings({{5, 0x1000000}}), "PROTOCOL_ERROR"},
      {"very many settings", Settings(std::vector<std::pair<uint16_t, uint32_t>>(100, {1, 1})),
       kCalm},
      {"a push of a client", Frame(5, kEndHeaders, 1, Big(2, 4) + Block(Request())),
       "PROTOCOL_ERROR"},
      {"PING on a stream", Frame(6, 0, 1, "12345678"), "PROTOCOL_ERROR"},
      {"PING of a wrong size", Frame(6, 0, 0, "123"), "FRAME_SIZE_ERROR"},
      {"GOAWAY on a stream", Frame(7, 0, 1, Big(0, 8)), "PROTOCOL_ERROR"},
      {"a zero window of the connection", Window(0, 0), "PROTOCOL_ERROR"},
      {"a zero window of a stream", Window(1, 0), "PROTOCOL_ERROR"},
      {"a window of an idle stream", Window(5, 1), "PROTOCOL_ERROR"},
      {"WINDOW_UPDATE of a wrong size", Frame(8, 0, 0, "123"), "FRAME_SIZE_ERROR"},
      {"a connection window that overflows", Window(0, 0x7fffffff), "FLOW_CONTROL_ERROR"},
      {"a frame too large", Data(1, std::string(16385, 'x')), "FRAME_SIZE_ERROR"},
      {"a head that depends on itself",
       Frame(1, kEnd | kEndHeaders | 0x20, 3, Big(3, 4) + Big(0, 1) + Block(Request())),
       "PROTOCOL_ERROR"},
  };
  for (const Broken& row : rows) {
    Server server;
    EXPECT_TRUE(server.Feed(Headers(1, Request("POST"), 0))) << row.what;
    // What follows in the same bytes must not be read.
    EXPECT_FALSE(server.Feed(row.bytes + Headers(99, Request()))) << row.what;
    EXPECT_EQ(EndOf(server), row.code) << row.what;
    EXPECT_EQ(server.events.messages.count(99), 0U) << row.what;
    EXPECT_THAT(server.failure->what, HasSubstr(row.code)) << row.what;
    EXPECT_EQ(server.failure->fault, Fault::kMalformed) << row.what;
    EXPECT_FALSE(server.events.misuse) << row.what;
    EXPECT_FALSE(server.Feed(Headers(101, Request()))) << row.what;
  }
}

TEST(Http2Abuse, R21OnlyAnHttp2ClientIsListenedTo) {
  for (std::string_view bytes :
       {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "\x16\x03\x01"}) {
    ManualClock clock;
    std::unique_ptr<Codec> codec = MakeHttp2Server({}, clock);
    Events events;
    Reader reader;
    reader.quiet = true;
    EXPECT_FALSE(codec->Receive(ExactChunk(bytes), events));
    EXPECT_EQ(reader.Take(*codec), "GOAWAY 0 PROTOCOL_ERROR");
  }
  ManualClock clock;
  std::unique_ptr<Codec> codec = MakeHttp2Server({}, clock);
  Events events;
  std::string no_settings = std::string(kPreface) + Headers(1, Request());
  EXPECT_FALSE(codec->Receive(ExactChunk(no_settings), events));
  EXPECT_EQ(events.Text(), "");
}

TEST(Http2Abuse, R21AStreamMayNotSendBeyondItsWindow) {
  Server server;
  server.Feed(Headers(1, Request("POST"), 0) + Headers(3, Request("POST"), 0));
  for (int i = 0; i < 3; ++i) server.Feed(Data(1, std::string(16384, 'x')));
  EXPECT_TRUE(server.Feed(Data(1, std::string(16384, 'x'))));
  EXPECT_EQ(server.Out(), "RST 1 FLOW_CONTROL_ERROR");
  EXPECT_THAT(server.Told(), HasSubstr("lost:400"));
  EXPECT_TRUE(server.Feed(Data(3, "fine", kEnd)));
  EXPECT_THAT(server.Told(), HasSubstr("3 POST /a +fine end"));
}

TEST(Http2Abuse, R21AWindowThatOverflowsEndsItsStream) {
  for (const std::string& bytes :
       {Window(1, 0x7fffffff), Window(1, 0x7fff0000) + Settings({{4, 0x7fffffff}})}) {
    Server server;
    EXPECT_TRUE(server.Feed(Headers(1, Request()) + bytes));
    EXPECT_EQ(server.Out(), "RST 1 FLOW_CONTROL_ERROR");
    EXPECT_EQ(server.Told(), "1 GET /a end lost:400");
  }
}

TEST(Http2Abuse, RandomBytesNeverConfuseTheServer) {
  for (unsigned seed = 0; seed < 2000; ++seed) {
    std::mt19937 random(seed);
    Server server;
    server.events.on_head = [&](StreamId id, bool) {
      if (random() % 3 == 0) server.SendHead(id, 200, random() % 2 == 0);
      if (random() % 5 == 0) server.codec->Reset(id, Fault::kCancelled);
    };
    server.events.on_data = [&](StreamId id, size_t size, bool) {
      if (random() % 2 == 0) server.codec->Consumed(id, size);
      if (random() % 3 == 0) server.SendHead(id, 200, false);
      server.Send(id, "some bytes", random() % 4 == 0);
    };
    StreamId newest = 1;
    for (int i = 0; i < 60; ++i) {
      StreamId id = Odd(static_cast<int>(random() % 8));
      StreamId next = random() % 20 == 0 ? id : std::exchange(newest, newest + 2);
      std::string frame;
      switch (random() % 10) {
        case 0:
        case 1:
        case 2: frame = Headers(next, Request("POST"), random() % 3 == 0 ? kEnd : 0); break;
        case 3:
        case 4:
          frame = Data(id, std::string(random() % 3000, 'x'), random() % 5 == 0 ? kEnd : 0);
          break;
        case 5: frame = Rst(id, 8); break;
        case 6: frame = Window(random() % 2 == 0 ? 0 : id, 1 + random() % 100000); break;
        case 7: frame = Settings({{4, random() % 100000}}); break;
        case 8:
          frame = Frame(static_cast<uint8_t>(random() % 12), static_cast<uint8_t>(random()), id,
                        std::string(random() % 20, static_cast<char>(random())));
          break;
        default:
          frame = Frame(1, kEndHeaders | kEnd, id,
                        std::string(random() % 50, static_cast<char>(random())));
          break;
      }
      if (random() % 50 == 0) frame[random() % frame.size()] = static_cast<char>(random());
      if (!server.Feed(frame)) break;
      server.Out();
    }
    ASSERT_FALSE(server.events.misuse) << seed << ": " << server.Told();
  }
}

}  // namespace
}  // namespace relay::h2
