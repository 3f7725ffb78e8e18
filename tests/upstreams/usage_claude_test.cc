// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "tests/upstreams/deflate.h"
#include "tests/upstreams/meter_fixture.h"
#include "upstreams/usage.h"

namespace relay {
namespace {

using ClaudeMeter = MeterTest;

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

TEST_F(ClaudeMeter, ClaudeStreamTellsAllCountsHoweverItIsCut) {
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

TEST_F(ClaudeMeter, ClaudeStreamKnowsWhenUsageAndEndHaveCome) {
  Begin(MakeClaudeMeter);
  EXPECT_FALSE(meter_->seen());
  Feed(kClaudeStart);
  EXPECT_TRUE(meter_->seen());
  Feed(kClaudeDeltas + kClaudeDelta);
  EXPECT_FALSE(meter_->ended());
  Feed(kClaudeStop);
  EXPECT_TRUE(meter_->ended());
}

TEST_F(ClaudeMeter, ABrokenClaudeStreamIsEstimatedFromItsText) {
  Begin(MakeClaudeMeter);
  Feed(kClaudeStart + kClaudeDeltas);
  Usage usage = meter_->Finish(false);
  ExpectClaudeInput(usage);
  EXPECT_EQ(usage.output, 10);
  EXPECT_TRUE(usage.estimated);
  EXPECT_FALSE(meter_->ended());
}

TEST_F(ClaudeMeter, AClaudeStreamThatEndsCleanlyTooEarlyIsEstimatedToo) {
  Begin(MakeClaudeMeter);
  Feed(kClaudeStart);
  Usage usage = meter_->Finish(true);
  EXPECT_EQ(usage.output, 1);
  EXPECT_TRUE(usage.estimated);
}

TEST_F(ClaudeMeter, AClaudeStreamCutBehindItsFinalCountsIsExact) {
  Begin(MakeClaudeMeter);
  Feed(kClaudeStart + kClaudeDeltas + kClaudeDelta);
  Usage usage = meter_->Finish(false);
  EXPECT_EQ(usage.output, 8);
  EXPECT_FALSE(usage.estimated);
}

TEST_F(ClaudeMeter, AClaudeStreamCutBeforeAnyUsageIsEstimatedFromTheRequest) {
  Begin(MakeClaudeMeter);
  Usage usage = meter_->Finish(false);
  EXPECT_EQ(usage.input, kRequestBytes / 4);
  EXPECT_EQ(usage.model, "asked");
  EXPECT_TRUE(usage.estimated);
}

TEST_F(ClaudeMeter, AnErrorInAClaudeStreamIsSeen) {
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

TEST_F(ClaudeMeter, ClaudeDeltaKeepsWhatItDoesNotMention) {
  Begin(MakeClaudeMeter);
  Feed(kClaudeStart +
       "event: message_delta\ndata: "
       "{\"type\":\"message_delta\",\"usage\":{\"output_tokens\":15}}\n\n");
  Usage usage = meter_->Finish(true);
  ExpectClaudeInput(usage);
  EXPECT_EQ(usage.output, 15);
}

TEST_F(ClaudeMeter, ClaudeCacheWritesThatGrowAreTakenForTheFiveMinuteKind) {
  Begin(MakeClaudeMeter);
  Feed(
      kClaudeStart +
      R"(data: {"type":"message_delta","usage":{"cache_creation_input_tokens":100,"output_tokens":1}})"
      "\n\n");
  Usage usage = meter_->Finish(true);
  EXPECT_EQ(usage.cache_write_5m, 91);
  EXPECT_EQ(usage.cache_write_1h, 9);
}

TEST_F(ClaudeMeter, ClaudeExtrasAreRead) {
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

TEST_F(ClaudeMeter, AClaudeAdvisersTokensMakeItAnEstimate) {
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

TEST_F(ClaudeMeter, AWholeClaudeAnswerTellsItsUsageBehindMegabytes) {
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

TEST_F(ClaudeMeter, AWholeClaudeAnswerThatIsCutIsEstimated) {
  Begin(MakeClaudeMeter, {200, "application/json", ""});
  // Cut inside the second text: the first can be counted.
  Feed(R"({"model":"claude-x","content":[{"type":"text","text":"0123456789abcdef"},{"type":"te)");
  EXPECT_FALSE(meter_->ended());
  Usage usage = meter_->Finish(false);
  EXPECT_EQ(usage.input, kRequestBytes / 4);
  EXPECT_EQ(usage.output, 4);
  EXPECT_TRUE(usage.estimated);
}

TEST_F(ClaudeMeter, CallsThatGenerateNothingUseNothing) {
  meter_ = MakeClaudeMeter({"asked", kRequestBytes, false});
  meter_->OnHead({200, "application/json", ""});
  Feed(R"({"input_tokens":16})");
  EXPECT_EQ(meter_->Finish(true).total(), 0);
  EXPECT_EQ(meter_->Finish(false).total(), 0);
}

TEST_F(ClaudeMeter, AnswersThatAreNot2xxUseNothing) {
  for (int status : {199, 300, 400, 429, 500, 529}) {
    Begin(MakeClaudeMeter, {status, "application/json", ""});
    Feed(ClaudeMessage("x"));
    EXPECT_EQ(meter_->Finish(true).total(), 0) << status;
    EXPECT_FALSE(meter_->Finish(false).estimated);
  }
}

TEST_F(ClaudeMeter, CountsThatAreNoneAreIgnored) {
  Begin(MakeClaudeMeter, {200, "application/json", ""});
  Feed(R"({"usage":{"input_tokens":-5,"output_tokens":"7","cache_read_input_tokens":1e3,)"
       R"("cache_creation_input_tokens":null,"cache_creation":[],"iterations":{},"speed":null}})");
  Usage usage = meter_->Finish(true);
  EXPECT_EQ(usage.total(), 0);
  EXPECT_TRUE(meter_->seen());
}

TEST_F(ClaudeMeter, PackedAnswersAreReadOnTheSide) {
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

TEST_F(ClaudeMeter, AnswersThatCannotBeUnpackedAreEstimated) {
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

TEST_F(ClaudeMeter, AnswersThatBreakWhileTheyAreUnpackedKeepWhatWasTold) {
  Begin(MakeClaudeMeter, {200, "text/event-stream", "gzip"});
  Deflater deflater(Packing::kGzip);
  Feed(deflater.Add(kClaudeStart));
  Feed(std::string(400, '\xff'));
  Usage usage = meter_->Finish(true);
  ExpectClaudeInput(usage);
  EXPECT_GT(usage.output, 90);
  EXPECT_TRUE(usage.estimated);
}

TEST_F(ClaudeMeter, AnOversizedEventLeavesTheFinalCountsExact) {
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

}  // namespace
}  // namespace relay
