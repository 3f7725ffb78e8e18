// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/core/http/http2_peer.h"

namespace relay::h2 {
namespace {

using ::testing::HasSubstr;

TEST(Http2Client, BeginsWithPrefaceAndSettings) {
  ManualClock clock;
  std::unique_ptr<ClientCodec> codec = MakeHttp2Client("https", clock);
  Buffer out;
  codec->TakeOutput(out);
  EXPECT_TRUE(out.ToString().starts_with(kPreface));
  codec = MakeHttp2Client("https", clock);
  Reader reader(/*preface=*/true);
  EXPECT_EQ(reader.Take(*codec), "SETTINGS 6=65536 2=0 4=262144 | WINDOW 0 983041");
}

TEST(Http2Client, SendsARequestAndReadsTheAnswer) {
  Client client;
  Head head = Client::Ask("POST", "/v1/messages");
  head.Add("X-Api-Key", "k");
  head.Add("Host", "a");
  head.Add("Connection", "keep-alive");
  head.content_length = 2;
  EXPECT_EQ(client.Open(head, /*end=*/false), 1U);
  EXPECT_EQ(client.Send(1, "{}", true), 0U);
  EXPECT_EQ(client.Out(),
            "HEADERS 1 :method=POST :scheme=https :authority=a :path=/v1/messages x-api-key=k "
            "content-length=2 | DATA 1 2 end");
  client.Feed(Headers(1, {{":status", "200"}, {"content-length", "5"}}, 0) + Data(1, "hel") +
              Data(1, "lo", kEnd));
  EXPECT_EQ(client.Told(), "1 200 +hello end");
  EXPECT_EQ(client.head().content_length, 5U);
  EXPECT_EQ(client.codec->FreeStreams(), 100U);
}

Lines Answer(std::string status = "200", Lines more = {}) {
  Lines lines = {{":status", std::move(status)}};
  lines.insert(lines.end(), more.begin(), more.end());
  return lines;
}

// Requests -------------------------------------------------------------------------------------

TEST(Http2Client, SaysTheSchemeItWasMadeFor) {
  ManualClock clock;
  std::unique_ptr<ClientCodec> codec = MakeHttp2Client("http", clock);
  Head head = Client::Ask();
  EXPECT_TRUE(codec->Open(head, true));
  Reader reader(/*preface=*/true);
  reader.quiet = true;
  EXPECT_EQ(reader.Take(*codec), "HEADERS 1 :method=GET :scheme=http :authority=a :path=/a end");
}

TEST(Http2Client, SaysTheLengthOfABody) {
  struct Row {
    std::string_view method;
    bool end;
    std::optional<uint64_t> length;
    std::string_view said;
  };
  for (const Row& row :
       {Row{"GET", true, {}, ""}, Row{"POST", true, {}, " content-length=0"},
        Row{"PUT", true, {}, " content-length=0"}, Row{"GET", true, 0, " content-length=0"},
        Row{"POST", false, {}, ""}, Row{"POST", false, 7, " content-length=7"}}) {
    Client client;
    Head head = Client::Ask(row.method);
    head.Add("content-length", "99");  // the list's one is never believed
    head.content_length = row.length;
    client.Open(head, row.end);
    EXPECT_EQ(client.Out(), "HEADERS 1 :method=" + std::string(row.method) +
                                " :scheme=https :authority=a :path=/a" + std::string(row.said) +
                                (row.end ? " end" : ""));
  }
}

TEST(Http2Client, LeavesOutWhatMayNotBeSent) {
  Client client;
  Head head = Client::Ask();
  for (std::string_view name : {"Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer",
                                "Transfer-Encoding", "Upgrade", "HTTP2-Settings", "Host", "Expect"})
    head.Add(name, "x");
  head.Add("bad name", "x");
  head.Add("bad-value", "a\r\nb: c");
  head.Add("Cookie", "a=b; c=d");
  client.Open(head);
  EXPECT_EQ(client.Out(),
            "HEADERS 1 :method=GET :scheme=https :authority=a :path=/a cookie=a=b; c=d end");
}

TEST(Http2Client, OpensNothingThatCannotBeSent) {
  struct Row {
    std::string_view method, target, authority;
  };
  for (const Row& row : {Row{"", "/", "a"}, Row{"GE T", "/", "a"}, Row{"GET", "", "a"},
                         Row{"GET", "a", "a"}, Row{"GET", "/a b", "a"}, Row{"GET", "/\r\n", "a"},
                         Row{"GET", "/", ""}, Row{"GET", "/", "a b"}, Row{"GET", "/", "a@b"}}) {
    Client client;
    Head head;
    head.method = row.method;
    head.target = row.target;
    head.authority = row.authority;
    Result<StreamId> id = client.codec->Open(head, true);
    ASSERT_FALSE(id) << row.target;
    EXPECT_EQ(id.error().party, Party::kRelay);
    EXPECT_EQ(client.Out(), "");
  }
}

TEST(Http2Client, RefusesAHeadTooLargeToBeSent) {
  Client client;
  Head head = Client::Ask();
  head.Add("x", std::string(300'000, 'x'));
  Result<StreamId> id = client.codec->Open(head, true);
  ASSERT_FALSE(id);
  EXPECT_EQ(client.Out(), "");
  EXPECT_EQ(client.codec->FreeStreams(), 100U);
  EXPECT_NE(client.Open(Client::Ask()), 0U);
}

TEST(Http2Client, OpensAsManyAsTheUpstreamAllows) {
  Client client({{3, 2}});
  EXPECT_EQ(client.codec->FreeStreams(), 2U);
  client.Open(Client::Ask());
  client.Open(Client::Ask());
  EXPECT_EQ(client.codec->FreeStreams(), 0U);
  Result<StreamId> third = client.codec->Open(Client::Ask(), true);
  ASSERT_FALSE(third);
  EXPECT_TRUE(third.error().retryable);
  client.Feed(Headers(1, Answer()));
  EXPECT_EQ(client.codec->FreeStreams(), 1U);
  client.codec->Reset(3, Fault::kCancelled);
  EXPECT_EQ(client.codec->FreeStreams(), 2U);
  client.Feed(Settings({{3, 0}}));
  EXPECT_EQ(client.codec->FreeStreams(), 0U);
  client.Feed(Settings({{3, 100000}}));
  EXPECT_EQ(client.codec->FreeStreams(), 100U);
}

TEST(Http2Client, MayBeginBeforeTheUpstreamHasSaidAnything) {
  ManualClock clock;
  std::unique_ptr<ClientCodec> codec = MakeHttp2Client("https", clock);
  EXPECT_EQ(codec->FreeStreams(), 100U);
  EXPECT_TRUE(codec->Open(Client::Ask(), true));
}

TEST(Http2Client, SendsABodyAsTheWindowsAllow) {
  Client client;
  std::string all(200'000, 'x');
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<char>('a' + i / 7 % 26);
  Buffer body;
  body.AppendCopy(all);
  client.Open(Client::Ask("POST"), false);
  EXPECT_EQ(client.codec->SendData(1, body, true), 65535U);
  client.events.on_room = [&](StreamId id) { client.codec->SendData(id, body, true); };
  for (int i = 0; i < 100 && !body.empty(); ++i) {
    ASSERT_TRUE(client.Feed(Window(i % 2 == 0 ? 0 : 1, 9000)));
  }
  EXPECT_THAT(client.Out(), ::testing::EndsWith("end"));
  EXPECT_EQ(client.reader.bodies[1], all);
}

// Answers --------------------------------------------------------------------------------------

TEST(Http2Client, SkipsInterimAnswers) {
  Client client;
  client.Open(Client::Ask());
  client.Feed(Headers(1, Answer("100"), 0) + Headers(1, Answer("103", {{"link", "x"}}), 0) +
              Headers(1, Answer("200", {{"a", "b"}}), 0) + Data(1, "x", kEnd));
  EXPECT_EQ(client.Told(), "1 200 +x end");
  EXPECT_EQ(FieldsOf(client.head()), "a=b;");
}

TEST(Http2Client, EndsAStreamOfInterimAnswers) {
  Client client;
  client.Open(Client::Ask());
  for (int i = 0; i < 16; ++i) client.Feed(Headers(1, Answer("100"), 0));
  EXPECT_EQ(client.Told(), "");
  client.Feed(Headers(1, Answer("100"), 0));
  EXPECT_EQ(client.Told(), "1 lost:502");
  EXPECT_THAT(client.Out(), HasSubstr("RST 1 PROTOCOL_ERROR"));
}

TEST(Http2Client, TellsTheLengthOfAnAnswerToHead) {
  Client client;
  client.Open(Client::Ask("HEAD"));
  client.Feed(Headers(1, Answer("200", {{"content-length", "1000"}})));
  EXPECT_EQ(client.Told(), "1 200 end");
  EXPECT_EQ(client.head().content_length, 1000U);
}

TEST(Http2Client, TakesAnswersWithoutBodies) {
  for (const Lines& lines : {Answer("204"), Answer("204", {{"content-length", "0"}}),
                             Answer("304", {{"content-length", "7"}}), Answer("500")}) {
    Client client;
    client.Open(Client::Ask());
    client.Feed(Headers(1, lines));
    EXPECT_EQ(client.Told(), "1 " + lines[0].second + " end");
  }
}

TEST(Http2Client, DropsTrailersAndEndsWithThem) {
  Client client;
  client.Open(Client::Ask());
  client.Feed(Headers(1, Answer(), 0) + Data(1, "x") + Headers(1, {{"grpc-status", "0"}}));
  EXPECT_EQ(client.Told(), "1 200 +x end");
  EXPECT_FALSE(client.head().Has("grpc-status"));
}

TEST(Http2Client, ReadsAnswersThatTakeTurns) {
  Client client;
  for (int i = 0; i < 3; ++i) client.Open(Client::Ask());
  client.Feed(Headers(5, Answer("201"), 0) + Headers(1, Answer(), 0) + Data(5, "a") + Data(1, "b") +
              Headers(3, Answer("404")) + Data(5, "c", kEnd) + Padded(1, "d", 9, kEnd));
  EXPECT_EQ(client.Told(), "1 200 +bd end | 3 404 end | 5 201 +ac end");
}

struct Bad {
  std::string_view what;
  Lines lines;
};

TEST(Http2Client, ResetsAStreamWhoseAnswerIsMalformed) {
  const Bad rows[] = {
      {"no status", {{"a", "b"}}},
      {"a short status", Answer("20")},
      {"a status that is no number", Answer("2xx")},
      {"a status out of range", Answer("600")},
      {"a status below all", Answer("099")},
      {"101", Answer("101")},
      {"two statuses", {{":status", "200"}, {":status", "200"}}},
      {"a late status", {{"a", "b"}, {":status", "200"}}},
      {"a pseudo-header of requests", Answer("200", {{":path", "/"}})},
      {"an upper-case name", Answer("200", {{"A", "b"}})},
      {"a name that is none", Answer("200", {{"a b", "b"}})},
      {"CR LF in a value", Answer("200", {{"a", "b\r\nc: d"}})},
      {"NUL in a value", Answer("200", {{"a", std::string("b\0", 2)}})},
      {"transfer-encoding", Answer("200", {{"transfer-encoding", "chunked"}})},
      {"connection", Answer("200", {{"connection", "close"}})},
      {"two lengths", Answer("200", {{"content-length", "1"}, {"content-length", "1"}})},
      {"a length that is none", Answer("200", {{"content-length", "-1"}})},
      {"many fields", Answer("200", Lines(257, {"a", ""}))},
      {"a length without a body", Answer("200", {{"content-length", "1"}})},
  };
  for (const Bad& row : rows) {
    Client client;
    client.Open(Client::Ask());
    client.Open(Client::Ask());
    client.Out();
    bool ends = row.what == "a length without a body";
    EXPECT_TRUE(client.Feed(Headers(1, row.lines, ends ? kEnd : 0))) << row.what;
    EXPECT_EQ(client.Told(), "1 lost:502") << row.what;
    EXPECT_TRUE(client.events.messages[1].resets[0].first.retryable) << row.what;
    EXPECT_EQ(client.events.messages[1].resets[0].first.party, Party::kUpstream) << row.what;
    EXPECT_EQ(client.Out(), "RST 1 PROTOCOL_ERROR") << row.what;
    EXPECT_TRUE(client.Feed(Headers(3, Answer()))) << row.what;
    EXPECT_EQ(client.Told(), "1 lost:502 | 3 200 end") << row.what;
  }
}

TEST(Http2Client, TellsOfABadAnswerThatIsOverWithItsHead) {
  Client client;
  client.Open(Client::Ask());
  client.Out();
  EXPECT_TRUE(client.Feed(Headers(1, Answer("600"))));
  EXPECT_EQ(client.Told(), "1 lost:502");
  EXPECT_EQ(client.Out(), "");  // nobody is left to be told
}

TEST(Http2Client, ResetsAStreamWhoseAnswersHeadIsTooLarge) {
  Client client;
  client.Open(Client::Ask());
  std::string block = Block(Answer("200", Lines(5, {"x", std::string(15000, 'x')})));
  std::string bytes = Frame(1, 0, 1, block.substr(0, 16000));
  for (size_t at = 16000; at < block.size(); at += 16000) {
    bytes += Frame(9, at + 16000 >= block.size() ? kEndHeaders : 0, 1, block.substr(at, 16000));
  }
  EXPECT_TRUE(client.Feed(bytes));
  EXPECT_EQ(client.Told(), "1 lost:502");
}

TEST(Http2Client, ResetsAStreamWhoseAnswerIsNotAsLongAsAnnounced) {
  for (const std::string& rest : {Data(1, "abc", kEnd), Data(1, "abcdef", kEnd), Data(1, "", kEnd),
                                  Data(1, "abc") + Headers(1, {{"x", "y"}})}) {
    Client client;
    client.Open(Client::Ask());
    EXPECT_TRUE(client.Feed(Headers(1, Answer("200", {{"content-length", "5"}}), 0) + rest));
    EXPECT_THAT(client.Told(), ::testing::EndsWith(" lost:502"));
    EXPECT_FALSE(client.events.messages[1].end);
    EXPECT_FALSE(client.events.messages[1].resets[0].first.retryable);
  }
}

TEST(Http2Client, SaysWhetherAResetRequestMayBeSentAgain) {
  struct Row {
    std::string bytes;
    std::string_view told;
    bool retryable;
  };
  for (const Row& row : {
           Row{Rst(1, 7), "1 lost:unprocessed", true},
           Row{Rst(1, 2), "1 lost:reset", true},
           Row{Rst(1, 0), "1 lost:reset", true},
           Row{Headers(1, Answer(), 0) + Rst(1, 2), "1 200 lost:reset", false},
           Row{Headers(1, Answer(), 0) + Rst(1, 7), "1 200 lost:reset", false},
           Row{Headers(1, Answer(), 0) + Data(1, "x") + Rst(1, 8), "1 200 +x lost:reset", false},
       }) {
    Client client;
    client.Open(Client::Ask());
    client.Feed(row.bytes);
    EXPECT_EQ(client.Told(), row.told);
    EXPECT_EQ(client.events.messages[1].resets[0].first.retryable, row.retryable);
  }
}

TEST(Http2Client, ForgetsTheRestOfARequestThatWasAnsweredEarly) {
  Client client;
  client.Open(Client::Ask("POST"), false);
  EXPECT_EQ(client.Send(1, std::string(70000, 'x'), true), 70000U - 65535U);
  client.Feed(Headers(1, Answer("413")) + Rst(1, 0));
  EXPECT_EQ(client.Told(), "1 413 end");
  EXPECT_EQ(client.events.messages[1].rooms, 1);
  EXPECT_EQ(client.Send(1, "rest", true), 0U);
  EXPECT_EQ(client.codec->FreeStreams(), 100U);
}

TEST(Http2Client, CancelsARequestOnWhichNobodyWaits) {
  Client client;
  client.Open(Client::Ask());
  client.Feed(Headers(1, Answer(), 0) + Data(1, "x"));
  client.Out();
  client.codec->Reset(1, Fault::kCancelled);
  client.codec->Reset(1, Fault::kCancelled);
  EXPECT_EQ(client.Out(), "RST 1 CANCEL");
  EXPECT_TRUE(client.Feed(Data(1, "on its way", kEnd)));
  EXPECT_EQ(client.Told(), "1 200 +x");
}

// Windows --------------------------------------------------------------------------------------

TEST(Http2Client, ReopensAStreamsWindowOnlyForWhatWasTaken) {
  Client client;
  client.Open(Client::Ask());
  client.Open(Client::Ask());
  client.Feed(Headers(1, Answer(), 0));
  for (int i = 0; i < 16; ++i) EXPECT_TRUE(client.Feed(Data(1, std::string(16384, 'x'))));
  client.Out();
  EXPECT_EQ(client.reader.windows[1], 0U);
  client.codec->Consumed(1, 131072);
  client.Out();
  EXPECT_EQ(client.reader.windows[1], 131072U);
  client.codec->Consumed(1, 131072);
  client.Out();
  EXPECT_EQ(client.reader.windows[1], 262144U);
}

TEST(Http2Client, LetsNoStalledAnswerHoldUpAnother) {
  Client client;
  for (int i = 0; i < 9; ++i) client.Open(Client::Ask());
  client.Out();
  for (StreamId id = 1; id < 17; id += 2) {
    client.Feed(Headers(id, Answer(), 0));
    for (int i = 0; i < 16; ++i) ASSERT_TRUE(client.Feed(Data(id, std::string(16384, 'x'))));
  }
  client.Out();
  EXPECT_GE(client.reader.windows[0], size_t{1} << 20);
  EXPECT_TRUE(client.Feed(Headers(17, Answer(), 0) + Data(17, "goes on", kEnd)));
  EXPECT_THAT(client.Told(), HasSubstr("17 200 +goes on end"));
}

TEST(Http2Client, TakesNoMoreThanItsWindow) {
  Client client;
  client.Open(Client::Ask());
  client.Feed(Headers(1, Answer(), 0));
  for (int i = 0; i < 16; ++i) client.Feed(Data(1, std::string(16384, 'x')));
  EXPECT_TRUE(client.Feed(Data(1, "x")));
  EXPECT_THAT(client.Out(), HasSubstr("RST 1 FLOW_CONTROL_ERROR"));
  EXPECT_THAT(client.Told(), HasSubstr("lost:502"));
}

// The end of a connection ----------------------------------------------------------------------

TEST(Http2Client, TellsWhatTheUpstreamHasNotProcessed) {
  Client client;
  for (int i = 0; i < 3; ++i) client.Open(Client::Ask());
  client.Feed(Headers(1, Answer(), 0) + GoAway(3));
  EXPECT_EQ(client.Told(), "1 200 | 5 lost:unprocessed");
  EXPECT_TRUE(client.events.messages[5].resets[0].first.retryable);
  EXPECT_EQ(client.events.went_away, 3U);
  EXPECT_TRUE(client.codec->must_close());
  EXPECT_EQ(client.codec->FreeStreams(), 0U);
  client.Feed(Data(1, "x", kEnd) + Headers(3, Answer()));
  EXPECT_EQ(client.Told(), "1 200 +x end | 3 200 end | 5 lost:unprocessed");
}

TEST(Http2Client, OpensNothingAfterANotice) {
  Client client;
  client.Open(Client::Ask());
  client.Feed(GoAway(0x7fffffff));
  EXPECT_EQ(client.codec->FreeStreams(), 0U);
  EXPECT_EQ(client.Told(), "");
  client.Feed(GoAway(1) + Headers(1, Answer()));
  EXPECT_EQ(client.Told(), "1 200 end");
  EXPECT_FALSE(client.codec->Open(Client::Ask(), true));
}

TEST(Http2Client, GoesAway) {
  Client client;
  client.Open(Client::Ask());
  client.Out();
  client.codec->GoAway();
  client.codec->GoAway();
  EXPECT_EQ(client.Out(), "GOAWAY 0 NO_ERROR");
  EXPECT_TRUE(client.codec->must_close());
  EXPECT_EQ(client.codec->FreeStreams(), 0U);
  client.Feed(Headers(1, Answer()));
  EXPECT_EQ(client.Told(), "1 200 end");
}

TEST(Http2Client, TellsOfAnswersThatTheEndCuts) {
  Client client;
  for (int i = 0; i < 3; ++i) client.Open(Client::Ask());
  client.Feed(Headers(1, Answer(), 0) + Data(1, "x") + Headers(3, Answer()));
  client.codec->ReceiveEof(client.events);
  EXPECT_EQ(client.Told(), "1 200 +x lost:truncated | 3 200 end | 5 lost:reset");
  EXPECT_FALSE(client.events.messages[1].resets[0].first.retryable);
  EXPECT_TRUE(client.events.messages[5].resets[0].first.retryable);
  EXPECT_FALSE(client.codec->Open(Client::Ask(), true));
}

TEST(Http2Client, AsksForASignOfLife) {
  Client client;
  client.reader.quiet = false;
  EXPECT_TRUE(client.codec->Ping());
  EXPECT_EQ(client.Out(), "PING");
  EXPECT_TRUE(client.Feed(Frame(6, kAck, 0, std::string(8, '\0'))));
  EXPECT_TRUE(client.Feed(Ping()));
  EXPECT_EQ(client.Out(), "PING ack");
}

TEST(Http2Client, EndsAConnectionThatBreaksTheRules) {
  struct Row {
    std::string_view what;
    std::string bytes;
    std::string_view code;
  };
  for (const Row& row : {
           Row{"a push", Frame(5, kEndHeaders, 1, Big(2, 4) + Block(Request())), "PROTOCOL_ERROR"},
           Row{"an answer to nothing", Headers(5, Answer()), "PROTOCOL_ERROR"},
           Row{"a stream of the server's", Headers(2, Answer()), "PROTOCOL_ERROR"},
           Row{"DATA before the head", Data(1, "x"), "PROTOCOL_ERROR"},
           Row{"no HPACK", Frame(1, kEndHeaders, 1, "\xff\xff\xff\xff\xff"), "COMPRESSION_ERROR"},
           Row{"a head without end",
               Frame(1, 0, 1, "") + Frame(9, 0, 1, "") + Frame(9, 0, 1, "") + Frame(9, 0, 1, "") +
                   Frame(9, 0, 1, "") + Frame(9, 0, 1, "") + Frame(9, 0, 1, "") +
                   Frame(9, 0, 1, "") + Frame(9, 0, 1, "") + Frame(9, 0, 1, ""),
               "ENHANCE_YOUR_CALM"},
       }) {
    Client client;
    client.Open(Client::Ask());
    client.Out();
    EXPECT_FALSE(client.Feed(row.bytes)) << row.what;
    EXPECT_THAT(client.Out(), HasSubstr("GOAWAY 0 " + std::string(row.code))) << row.what;
    EXPECT_EQ(client.failure->party, Party::kUpstream) << row.what;
    EXPECT_TRUE(client.failure->retryable) << row.what;
    EXPECT_TRUE(client.codec->must_close()) << row.what;
    EXPECT_FALSE(client.events.misuse) << row.what;
  }
}

TEST(Http2Client, TellsAnHttp1ServerFromAnHttp2One) {
  ManualClock clock;
  std::unique_ptr<ClientCodec> codec = MakeHttp2Client("https", clock);
  Events events;
  EXPECT_FALSE(codec->Receive(ExactChunk("HTTP/1.1 400 Bad Request\r\n\r\n"), events));
}

// Pieces ---------------------------------------------------------------------------------------

TEST(Http2Client, ReadsTheSameHoweverTheBytesAreCut) {
  std::string all = Settings({{4, 100000}}) + SettingsAck();
  all += Headers(1, Answer("100"), 0) + Headers(1, Answer("200", {{"a", "b"}}), 0);
  all += Headers(3, Answer("200", {{"content-length", "6"}}), 0) + Data(1, "first ") +
         Padded(3, "abc", 100) + Ping() + Data(1, "second") + Data(3, "def", kEnd) +
         Headers(5, Answer("200", {{"Bad", "b"}})) + Headers(7, Answer(), 0) + Data(7, "x") +
         Rst(7, 2) + Rst(9, 7) + Headers(1, {{"trailer", "t"}}) + GoAway(11) +
         Headers(11, Answer("404"));
  auto run = [&](const std::function<size_t()>& next) {
    Client client;
    for (int i = 0; i < 7; ++i) client.Open(Client::Ask());
    std::string fed = all.substr(Settings({{4, 100000}}).size() + SettingsAck().size());
    for (size_t at = 0; at < fed.size();) {
      size_t size = std::min(next(), fed.size() - at);
      if (!client.Feed(std::string_view(fed).substr(at, size))) return client.failure->what;
      at += size;
    }
    return client.Told() + "\n" + client.Out();
  };
  std::string whole = run([&] { return all.size(); });
  EXPECT_THAT(whole, ::testing::StartsWith(
                         "1 200 +first second end | 3 200 +abcdef end | 5 lost:502 | 7 200 +x "
                         "lost:reset | 9 lost:unprocessed | 11 404 end | 13 lost:unprocessed"));
  EXPECT_EQ(run([] { return size_t{1}; }), whole);
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    ASSERT_EQ(run([&] { return size_t{1} + random() % (1 + random() % 60); }), whole) << seed;
  }
}

// Both sides -----------------------------------------------------------------------------------

// A client's and a server's codec, joined by a wire that delivers pieces of any size.
struct Pair {
  explicit Pair(unsigned seed) : random(seed) {
    to_server.on_data = [this](StreamId id, size_t size, bool) { Use(*server, id, size); };
    to_client.on_data = [this](StreamId id, size_t size, bool) { Use(*client, id, size); };
    to_server.on_room = [this](StreamId id) { Send(*server, id, answers); };
    to_client.on_room = [this](StreamId id) { Send(*client, id, requests); };
  }

  // Takes what came now, or later.
  void Use(Codec& codec, StreamId id, size_t size) {
    if (random() % 2 == 0) {
      codec.Consumed(id, size);
    } else {
      later.push_back([&codec, id, size] { codec.Consumed(id, size); });
    }
  }
  void Send(Codec& codec, StreamId id, std::map<StreamId, Buffer>& bodies) {
    codec.SendData(id, bodies[id], true);
  }
  bool Carry(Codec& from, Codec& to, Events& events) {
    Buffer wire;
    from.TakeOutput(wire);
    bool any = !wire.empty();
    while (!wire.empty()) {
      EXPECT_TRUE(to.Receive(wire.Pop(1 + random() % 5000), events));
    }
    return any;
  }
  void Run() {
    bool any = true;
    while (any) {
      any = Carry(*client, *server, to_server);
      any = Carry(*server, *client, to_client) || any;
      if (any || later.empty()) continue;
      std::shuffle(later.begin(), later.end(), random);
      for (auto& job : std::exchange(later, {})) job();
      any = true;
    }
  }

  std::mt19937 random;
  ManualClock clock;
  std::unique_ptr<Codec> server = MakeHttp2Server({}, clock);
  std::unique_ptr<ClientCodec> client = MakeHttp2Client("https", clock);
  Events to_server, to_client;
  std::map<StreamId, Buffer> requests, answers;
  std::vector<std::function<void()>> later;
};

std::string Noise(std::mt19937& random, size_t size) {
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

TEST(Http2, CarriesManyBodiesBothWaysThroughClosedWindows) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    Pair pair(seed);
    std::map<StreamId, std::string> asked, answered;
    for (int i = 0; i < 8; ++i) {
      std::string body = Noise(pair.random, pair.random() % 300'000);
      Head head = Client::Ask("POST");
      if (pair.random() % 2 == 0) head.content_length = body.size();
      Result<StreamId> id = pair.client->Open(head, /*end=*/false);
      ASSERT_TRUE(id);
      asked[*id] = body;
      pair.requests[*id].AppendCopy(body);
      answered[*id] = Noise(pair.random, pair.random() % 600'000);
    }
    pair.to_server.on_head = [&](StreamId id, bool) {
      Head head;
      head.status = 200;
      pair.answers[id].AppendCopy(answered[id]);
      if (id % 4 == 1) head.content_length = answered[id].size();
      pair.server->SendHead(id, head, false);
      pair.Send(*pair.server, id, pair.answers);
    };
    for (auto& [id, body] : pair.requests) pair.Send(*pair.client, id, pair.requests);
    pair.Run();
    for (auto& [id, body] : asked) {
      // An early answer may end before the request has: then the rest was stopped.
      if (pair.to_server.messages[id].end) EXPECT_EQ(pair.to_server.messages[id].body, body);
      EXPECT_EQ(pair.to_client.messages[id].body, answered[id]) << seed << " " << id;
      EXPECT_TRUE(pair.to_client.messages[id].end);
    }
    EXPECT_FALSE(pair.to_server.misuse || pair.to_client.misuse);
    EXPECT_EQ(pair.client->FreeStreams(), 100U);
  }
}

}  // namespace
}  // namespace relay::h2
