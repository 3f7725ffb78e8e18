// SPDX-License-Identifier: MIT
#include "upstreams/usage.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "tests/upstreams/deflate.h"

namespace relay {
namespace {

constexpr int64_t kRequestBytes = 4000;
using Maker = std::function<std::unique_ptr<UsageMeter>(MeterSeed)>;

class UsageTest : public ::testing::Test {
 protected:
  void Begin(const Maker& make, AnswerInfo head = {200, "text/event-stream", ""}) {
    meter_ = make({"asked", kRequestBytes, true});
    meter_->OnHead(head);
  }
  // In pieces that are gone afterwards.
  void Feed(std::string_view text, size_t size = SIZE_MAX) {
    while (!text.empty()) {
      std::string_view piece = text.substr(0, size);
      std::vector<char> exact(piece.begin(), piece.end());
      meter_->OnBytes({exact.data(), exact.size()});
      text.remove_prefix(piece.size());
    }
  }
  std::unique_ptr<UsageMeter> meter_;
};

const std::string kClaudeStart =
    "event: message_start\n"
    R"(data: {"type":"message_start","message":{"id":"msg_01","type":"message","role":"assistant",)"
    R"("model":"claude-opus-5-5","content":[],"stop_reason":null,"usage":{"input_tokens":29,)"
    R"("cache_creation_input_tokens":59,"cache_read_input_tokens":12,"cache_creation":)"
    R"({"ephemeral_5m_input_tokens":50,"ephemeral_1h_input_tokens":9},"output_tokens":1,)"
    R"("service_tier":"standard"}}})"
    "\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n";
// 40 bytes of text as it stands: 12 said, 16 thought, 12 of a tool's input.
const std::string kClaudeDeltas =
    "event: content_block_delta\n"
    R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello, world"}})"
    "\n\nevent: content_block_delta\n"
    R"(data: {"type":"content_block_delta","index":1,"delta":{"type":"thinking_delta","thinking":"0123456789abcdef"}})"
    "\n\nevent: content_block_delta\n"
    R"(data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\":true}"}})"
    "\n\n";
const std::string kClaudeDelta =
    "event: message_delta\n"
    R"(data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},)"
    R"("usage":{"input_tokens":29,"cache_creation_input_tokens":59,"cache_read_input_tokens":12,)"
    R"("output_tokens":8}})"
    "\n\n";
const std::string kClaudeStop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

void ExpectClaudeInput(const Usage& usage) {
  EXPECT_EQ(usage.input, 29);
  EXPECT_EQ(usage.cache_read, 12);
  EXPECT_EQ(usage.cache_write_5m, 50);
  EXPECT_EQ(usage.cache_write_1h, 9);
  EXPECT_EQ(usage.model, "claude-opus-5-5");
}

TEST_F(UsageTest, ClaudeStreamTellsAllCountsHoweverItIsCut) {
  std::string text = kClaudeStart + kClaudeDeltas + kClaudeDelta + kClaudeStop;
  for (size_t size : {size_t{1}, size_t{3}, size_t{100}, text.size()}) {
    Begin(MakeClaudeMeter);
    Feed(text, size);
    Usage usage = meter_->Finish(true);
    ExpectClaudeInput(usage);
    EXPECT_EQ(usage.output, 8);
    EXPECT_FALSE(usage.estimated);
    EXPECT_TRUE(meter_->ended());
    EXPECT_FALSE(meter_->ended_error());
  }
}

TEST_F(UsageTest, ClaudeStreamKnowsWhenUsageAndEndHaveCome) {
  Begin(MakeClaudeMeter);
  EXPECT_FALSE(meter_->seen());
  Feed(kClaudeStart);
  EXPECT_TRUE(meter_->seen());
  Feed(kClaudeDeltas + kClaudeDelta);
  EXPECT_FALSE(meter_->ended());
  Feed(kClaudeStop);
  EXPECT_TRUE(meter_->ended());
}

TEST_F(UsageTest, ABrokenClaudeStreamIsEstimatedFromItsText) {
  Begin(MakeClaudeMeter);
  Feed(kClaudeStart + kClaudeDeltas);
  Usage usage = meter_->Finish(false);
  ExpectClaudeInput(usage);
  EXPECT_EQ(usage.output, 10);
  EXPECT_TRUE(usage.estimated);
  EXPECT_FALSE(meter_->ended());
}

TEST_F(UsageTest, AClaudeStreamThatEndsCleanlyTooEarlyIsEstimatedToo) {
  Begin(MakeClaudeMeter);
  Feed(kClaudeStart);
  Usage usage = meter_->Finish(true);
  EXPECT_EQ(usage.output, 1);
  EXPECT_TRUE(usage.estimated);
}

TEST_F(UsageTest, AClaudeStreamCutBehindItsFinalCountsIsExact) {
  Begin(MakeClaudeMeter);
  Feed(kClaudeStart + kClaudeDeltas + kClaudeDelta);
  Usage usage = meter_->Finish(false);
  EXPECT_EQ(usage.output, 8);
  EXPECT_FALSE(usage.estimated);
}

TEST_F(UsageTest, AClaudeStreamCutBeforeAnyUsageIsEstimatedFromTheRequest) {
  Begin(MakeClaudeMeter);
  Usage usage = meter_->Finish(false);
  EXPECT_EQ(usage.input, kRequestBytes / 4);
  EXPECT_EQ(usage.model, "asked");
  EXPECT_TRUE(usage.estimated);
}

TEST_F(UsageTest, AnErrorInAClaudeStreamIsSeen) {
  Begin(MakeClaudeMeter);
  const std::string error =
      "event: error\n"
      R"(data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})"
      "\n\n";
  Feed(error);
  EXPECT_TRUE(meter_->ended_error());
  EXPECT_EQ(meter_->Finish(false).total(), 0);
  Begin(MakeClaudeMeter);
  Feed(kClaudeStart + kClaudeDeltas + error);
  EXPECT_TRUE(meter_->ended_error());
  EXPECT_EQ(meter_->Finish(true).output, 10);
}

TEST_F(UsageTest, ClaudeDeltaKeepsWhatItDoesNotMention) {
  Begin(MakeClaudeMeter);
  Feed(kClaudeStart +
       "event: message_delta\ndata: "
       "{\"type\":\"message_delta\",\"usage\":{\"output_tokens\":15}}\n\n");
  Usage usage = meter_->Finish(true);
  ExpectClaudeInput(usage);
  EXPECT_EQ(usage.output, 15);
}

TEST_F(UsageTest, ClaudeCacheWritesThatGrowAreTakenForTheFiveMinuteKind) {
  Begin(MakeClaudeMeter);
  Feed(
      kClaudeStart +
      R"(data: {"type":"message_delta","usage":{"cache_creation_input_tokens":100,"output_tokens":1}})"
      "\n\n");
  Usage usage = meter_->Finish(true);
  EXPECT_EQ(usage.cache_write_5m, 91);
  EXPECT_EQ(usage.cache_write_1h, 9);
}

TEST_F(UsageTest, ClaudeExtrasAreRead) {
  Begin(MakeClaudeMeter);
  Feed(kClaudeStart +
       R"(data: {"type":"message_delta","usage":{"output_tokens":10,"output_tokens_details":)"
       R"({"thinking_tokens":4},"server_tool_use":{"web_search_requests":3},"speed":"fast",)"
       R"("inference_geo":"us","iterations":[{"type":"compaction","input_tokens":1000,)"
       R"("output_tokens":50,"cache_creation_input_tokens":7},{"type":"message",)"
       R"("input_tokens":29,"output_tokens":10}]}})"
       "\n\n" +
       kClaudeStop);
  Usage usage = meter_->Finish(true);
  EXPECT_EQ(usage.reasoning, 4);
  EXPECT_EQ(usage.searches, 3);
  EXPECT_TRUE(usage.fast);
  EXPECT_TRUE(usage.us_only);
  EXPECT_EQ(usage.input, 1029);
  EXPECT_EQ(usage.output, 60);
  EXPECT_EQ(usage.cache_write_5m, 57);
  EXPECT_FALSE(usage.estimated);
}

TEST_F(UsageTest, AClaudeAdvisersTokensMakeItAnEstimate) {
  Begin(MakeClaudeMeter);
  Feed(R"(data: {"type":"message_delta","usage":{"input_tokens":5,"output_tokens":10,"iterations":)"
       R"([{"type":"advisor_message","model":"other","input_tokens":100,"output_tokens":1}]}})"
       "\n\n" +
       kClaudeStop);
  Usage usage = meter_->Finish(true);
  EXPECT_EQ(usage.input, 105);
  EXPECT_TRUE(usage.estimated);
}

std::string ClaudeMessage(std::string_view text) {
  return R"({"id":"msg_01","type":"message","role":"assistant","model":"claude-haiku-4-5-20251001",)"
         R"("content":[{"type":"text","text":")" +
         std::string(text) +
         R"("}],"stop_reason":"end_turn","usage":{"input_tokens":16,"cache_read_input_tokens":0,)"
         R"("cache_creation_input_tokens":30,"output_tokens":5}})";
}

TEST_F(UsageTest, AWholeClaudeAnswerTellsItsUsageBehindMegabytes) {
  std::string text = ClaudeMessage(std::string(4 << 20, 'x'));
  for (size_t size : {size_t{16384}, text.size()}) {
    Begin(MakeClaudeMeter, {200, "application/json", ""});
    Feed(text, size);
    EXPECT_TRUE(meter_->ended());
    Usage usage = meter_->Finish(true);
    EXPECT_EQ(usage.model, "claude-haiku-4-5-20251001");
    EXPECT_EQ(usage.input, 16);
    EXPECT_EQ(usage.cache_write_5m, 30);
    EXPECT_EQ(usage.output, 5);
    EXPECT_FALSE(usage.estimated);
  }
}

TEST_F(UsageTest, AWholeClaudeAnswerThatIsCutIsEstimated) {
  Begin(MakeClaudeMeter, {200, "application/json", ""});
  // Cut inside the second text: the first can be counted.
  Feed(R"({"model":"claude-x","content":[{"type":"text","text":"0123456789abcdef"},{"type":"te)");
  EXPECT_FALSE(meter_->ended());
  Usage usage = meter_->Finish(false);
  EXPECT_EQ(usage.input, kRequestBytes / 4);
  EXPECT_EQ(usage.output, 4);
  EXPECT_TRUE(usage.estimated);
}

TEST_F(UsageTest, CallsThatGenerateNothingUseNothing) {
  meter_ = MakeClaudeMeter({"asked", kRequestBytes, false});
  meter_->OnHead({200, "application/json", ""});
  Feed(R"({"input_tokens":16})");
  EXPECT_EQ(meter_->Finish(true).total(), 0);
  EXPECT_EQ(meter_->Finish(false).total(), 0);
}

TEST_F(UsageTest, AnswersThatAreNot2xxUseNothing) {
  for (int status : {199, 300, 400, 429, 500, 529}) {
    Begin(MakeClaudeMeter, {status, "application/json", ""});
    Feed(ClaudeMessage("x"));
    EXPECT_EQ(meter_->Finish(true).total(), 0) << status;
    EXPECT_FALSE(meter_->Finish(false).estimated);
  }
}

TEST_F(UsageTest, AWholeAnswerThatSaysNothingUsesNothing) {
  for (std::string_view text :
       {"", "<html>Bad gateway</html>", "{}", "[]", "data: {}\n\n", "{\"usage\":7}"}) {
    Begin(MakeClaudeMeter);
    Feed(text);
    EXPECT_EQ(meter_->Finish(true).total(), 0) << text;
    Begin(MakeGeminiMeter);
    Feed(text);
    EXPECT_EQ(meter_->Finish(true).total(), 0) << text;
  }
}

TEST_F(UsageTest, CountsThatAreNoneAreIgnored) {
  Begin(MakeClaudeMeter, {200, "application/json", ""});
  Feed(R"({"usage":{"input_tokens":-5,"output_tokens":"7","cache_read_input_tokens":1e3,)"
       R"("cache_creation_input_tokens":null,"cache_creation":[],"iterations":{},"speed":null}})");
  Usage usage = meter_->Finish(true);
  EXPECT_EQ(usage.total(), 0);
  EXPECT_TRUE(meter_->seen());
}

TEST_F(UsageTest, PackedAnswersAreReadOnTheSide) {
  std::string text = kClaudeStart + kClaudeDeltas + kClaudeDelta + kClaudeStop;
  for (auto [encoding, packing] : {std::pair{"gzip", Packing::kGzip},
                                   {"deflate", Packing::kZlib},
                                   {"deflate", Packing::kRaw}}) {
    Begin(MakeClaudeMeter, {200, "text/event-stream", encoding});
    Feed(Deflate(text, packing), 10);
    Usage usage = meter_->Finish(true);
    ExpectClaudeInput(usage);
    EXPECT_EQ(usage.output, 8);
    EXPECT_FALSE(usage.estimated);
    EXPECT_TRUE(meter_->ended());
  }
}

TEST_F(UsageTest, AnswersThatCannotBeUnpackedAreEstimated) {
  for (std::string_view encoding : {"br", "zstd", "gzip"}) {
    Begin(MakeClaudeMeter, {200, "text/event-stream", encoding});
    Feed(std::string(400, '\x5a'));
    Usage usage = meter_->Finish(true);
    EXPECT_EQ(usage.input, kRequestBytes / 4);
    EXPECT_EQ(usage.output, 100);
    EXPECT_EQ(usage.model, "asked");
    EXPECT_TRUE(usage.estimated);
  }
}

TEST_F(UsageTest, AnswersThatBreakWhileTheyAreUnpackedKeepWhatWasTold) {
  Begin(MakeClaudeMeter, {200, "text/event-stream", "gzip"});
  Deflater deflater(Packing::kGzip);
  Feed(deflater.Add(kClaudeStart));
  Feed(std::string(400, '\xff'));
  Usage usage = meter_->Finish(true);
  ExpectClaudeInput(usage);
  EXPECT_GT(usage.output, 90);
  EXPECT_TRUE(usage.estimated);
}

TEST_F(UsageTest, AnOversizedEventLeavesTheFinalCountsExact) {
  std::string big =
      "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":"
      "{\"text\":\"" +
      std::string(2 << 20, 'x') + "\"}}\n\n";
  Begin(MakeClaudeMeter);
  Feed(kClaudeStart + big + kClaudeDelta + kClaudeStop, 16384);
  Usage usage = meter_->Finish(true);
  EXPECT_EQ(usage.output, 8);
  EXPECT_FALSE(usage.estimated);
}

std::string GeminiChunk(std::string_view text, std::string_view more) {
  return R"({"candidates":[{"content":{"role":"model","parts":[{"text":")" + std::string(text) +
         R"("}]},"index":0)" + std::string(more) + R"(,"modelVersion":"gemini-2.5-pro"})";
}
const std::string kGeminiFirst = GeminiChunk(
    "Hello",
    R"(}],"usageMetadata":{"promptTokenCount":100,"totalTokenCount":160,"thoughtsTokenCount":60})");
const std::string kGeminiMiddle = GeminiChunk("0123456789", "}]");
const std::string kGeminiLast = GeminiChunk(
    ".",
    R"(,"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":100,"candidatesTokenCount":20,)"
    R"("cachedContentTokenCount":70,"thoughtsTokenCount":65,"toolUsePromptTokenCount":3,)"
    R"("totalTokenCount":188,"promptTokensDetails":[{"modality":"TEXT","tokenCount":100}]})");

// The chunks in each form in which Google sends them.
std::vector<std::string> GeminiForms(const std::vector<std::string>& chunks) {
  std::string events;
  std::string enveloped;
  std::string array = "[";
  std::string enveloped_array = "[";
  for (const std::string& chunk : chunks) {
    std::string wrapped = "{\"response\":" + chunk + ",\"traceId\":\"t\"}";
    events += "data: " + chunk + "\r\n\r\n";
    enveloped += "data: " + wrapped + "\r\n\r\n";
    if (array.size() > 1) array += "\n,\r\n";
    if (enveloped_array.size() > 1) enveloped_array += ",";
    array += chunk;
    enveloped_array += wrapped;
  }
  return {events, enveloped, array + "\n]\n", enveloped_array + "]"};
}

TEST_F(UsageTest, GeminiTellsItsUsageInEveryFormHoweverItIsCut) {
  for (const std::string& text : GeminiForms({kGeminiFirst, kGeminiMiddle, kGeminiLast})) {
    for (size_t size : {size_t{1}, size_t{7}, text.size()}) {
      Begin(MakeGeminiMeter);
      Feed(text, size);
      Usage usage = meter_->Finish(true);
      EXPECT_EQ(usage.input, 33) << text;
      EXPECT_EQ(usage.cache_read, 70);
      EXPECT_EQ(usage.output, 85);
      EXPECT_EQ(usage.reasoning, 65);
      EXPECT_EQ(usage.model, "gemini-2.5-pro");
      EXPECT_FALSE(usage.estimated);
      EXPECT_TRUE(meter_->ended());
      EXPECT_FALSE(meter_->ended_error());
    }
  }
}

TEST_F(UsageTest, AWholeGeminiAnswerTellsItsUsage) {
  for (const std::string& text : {kGeminiLast, "{\"response\": " + kGeminiLast + "}"}) {
    Begin(MakeGeminiMeter, {200, "application/json; charset=UTF-8", ""});
    Feed(text, 11);
    EXPECT_EQ(meter_->Finish(true).output, 85);
    EXPECT_FALSE(meter_->Finish(true).estimated);
  }
}

TEST_F(UsageTest, GeminiUsageOfTheLastChunkThatHasItCounts) {
  Begin(MakeGeminiMeter);
  for (const std::string& text :
       {kGeminiFirst, kGeminiLast, GeminiChunk("", R"(,"finishReason":"STOP"}])")}) {
    Feed("data: " + text + "\n\n");
  }
  EXPECT_EQ(meter_->Finish(true).output, 85);
}

TEST_F(UsageTest, ABrokenGeminiStreamIsEstimatedFromWhatWasSeen) {
  for (bool complete : {false, true}) {
    Begin(MakeGeminiMeter);
    Feed("data: " + kGeminiFirst + "\n\ndata: " + GeminiChunk(std::string(995, 'x'), "}]") +
         "\n\n");
    EXPECT_FALSE(meter_->ended());
    Usage usage = meter_->Finish(complete);
    EXPECT_EQ(usage.input, 100);
    EXPECT_EQ(usage.output, 250);  // a quarter of the text, which is more than the 60 told
    EXPECT_TRUE(usage.estimated);
  }
}

TEST_F(UsageTest, AGeminiStreamCutBeforeAnyUsageIsEstimatedFromRequestAndText) {
  Begin(MakeGeminiMeter);
  Feed("data: " + kGeminiMiddle + "\n\n");
  Usage usage = meter_->Finish(false);
  EXPECT_EQ(usage.input, kRequestBytes / 4);
  EXPECT_EQ(usage.output, 3);
  EXPECT_TRUE(usage.estimated);
}

TEST_F(UsageTest, AnErrorInAGeminiStreamIsSeen) {
  for (const std::string& text : GeminiForms({R"({"error":{"code":503,"message":"x"}})"})) {
    Begin(MakeGeminiMeter);
    Feed(text);
    EXPECT_TRUE(meter_->ended_error()) << text;
    EXPECT_EQ(meter_->Finish(false).total(), 0);
  }
}

TEST_F(UsageTest, ABlockedGeminiPromptEndsTheStream) {
  Begin(MakeGeminiMeter);
  Feed(R"(data: {"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":9,)"
       R"("totalTokenCount":9}})"
       "\n\n");
  EXPECT_TRUE(meter_->ended());
  EXPECT_EQ(meter_->Finish(true).input, 9);
  EXPECT_FALSE(meter_->Finish(true).estimated);
}

TEST_F(UsageTest, UnspecifiedGeminiReasonsAreNoEnd) {
  Begin(MakeGeminiMeter);
  Feed("data: " + GeminiChunk("a", R"(,"finishReason":"FINISH_REASON_UNSPECIFIED"}])") +
       "\n\ndata: " + GeminiChunk("a", R"(,"finishReason":null}])") + "\n\n");
  EXPECT_FALSE(meter_->ended());
}

TEST_F(UsageTest, GeminiEmbeddingsAreEstimatedFromTheRequest) {
  for (std::string_view text : {R"({"embedding":{"values":[0.1,-0.2]}})",
                                R"({"embeddings":[{"values":[0.1]},{"values":[0.2]}]})"}) {
    Begin(MakeGeminiMeter, {200, "application/json", ""});
    Feed(text, 4);
    EXPECT_TRUE(meter_->ended());
    Usage usage = meter_->Finish(true);
    EXPECT_EQ(usage.input, kRequestBytes / 4);
    EXPECT_EQ(usage.output, 0);
    EXPECT_TRUE(usage.estimated);
  }
}

TEST_F(UsageTest, GarbageDisturbsNothing) {
  for (std::string_view text :
       {"data: {\"usage\":{\"input_tokens\":1}\n\n", "data: {{{{\n\n", "\xff\xfe\n\n",
        "[{\"usageMetadata\":{]",
        "data: {\"usageMetadata\":{\"promptTokenCount\":1,\"promptTokenCount\":2}}\n\n",
        "{\"usage\":{\"input_tokens\":99999999999999999999}}"}) {
    for (const Maker& make : {Maker(MakeClaudeMeter), Maker(MakeGeminiMeter)}) {
      Begin(make);
      Feed(text, 1);
      meter_->Finish(true);
      EXPECT_TRUE(meter_->Finish(false).estimated || meter_->seen()) << text;
    }
  }
}

}  // namespace
}  // namespace relay
