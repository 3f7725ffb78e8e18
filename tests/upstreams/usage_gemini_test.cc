// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "tests/upstreams/meter_fixture.h"
#include "upstreams/usage.h"

namespace relay {
namespace {

using GeminiMeter = MeterTest;

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

// Who closes the books at the end must find the usage told, wherever a piece was cut: JSON says its
// finishReason before it.
TEST_F(GeminiMeter, GeminiHasEndedOnlyWhenAllUsageIsTold) {
  for (const std::string& text : GeminiForms({kGeminiFirst, kGeminiMiddle, kGeminiLast})) {
    Begin(MakeGeminiMeter);
    for (char c : text) {
      Feed({&c, 1});
      if (meter_->ended()) break;
    }
    EXPECT_TRUE(meter_->ended()) << text;
    EXPECT_EQ(meter_->Finish(true).cache_read, 70) << text;
    EXPECT_FALSE(meter_->Finish(true).estimated) << text;
  }
}

TEST_F(GeminiMeter, GeminiTellsItsUsageInEveryFormHoweverItIsCut) {
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

TEST_F(GeminiMeter, AWholeGeminiAnswerTellsItsUsage) {
  for (const std::string& text : {kGeminiLast, "{\"response\": " + kGeminiLast + "}"}) {
    Begin(MakeGeminiMeter, {200, "application/json; charset=UTF-8", ""});
    Feed(text, 11);
    EXPECT_EQ(meter_->Finish(true).output, 85);
    EXPECT_FALSE(meter_->Finish(true).estimated);
  }
}

TEST_F(GeminiMeter, GeminiUsageOfTheLastChunkThatHasItCounts) {
  Begin(MakeGeminiMeter);
  for (const std::string& text :
       {kGeminiFirst, kGeminiLast, GeminiChunk("", R"(,"finishReason":"STOP"}])")}) {
    Feed("data: " + text + "\n\n");
  }
  EXPECT_EQ(meter_->Finish(true).output, 85);
}

TEST_F(GeminiMeter, ABrokenGeminiStreamIsEstimatedFromWhatWasSeen) {
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

TEST_F(GeminiMeter, AGeminiStreamCutBeforeAnyUsageIsEstimatedFromRequestAndText) {
  Begin(MakeGeminiMeter);
  Feed("data: " + kGeminiMiddle + "\n\n");
  Usage usage = meter_->Finish(false);
  EXPECT_EQ(usage.input, kRequestBytes / 4);
  EXPECT_EQ(usage.output, 3);
  EXPECT_TRUE(usage.estimated);
}

TEST_F(GeminiMeter, AnErrorInAGeminiStreamIsSeen) {
  for (const std::string& text : GeminiForms({R"({"error":{"code":503,"message":"x"}})"})) {
    Begin(MakeGeminiMeter);
    Feed(text);
    EXPECT_TRUE(meter_->ended_error()) << text;
    EXPECT_EQ(meter_->Finish(false).total(), 0);
  }
}

// A piece of one of several candidates.
std::string Candidate(int index, std::string_view finish, int told) {
  std::string reason = finish.empty() ? "" : R"("finishReason":")" + std::string(finish) + R"(",)";
  return R"(data: {"candidates":[{"content":{"parts":[{"text":"abcd"}]},)" + reason +
         R"("index":)" + std::to_string(index) +
         R"(}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":)" +
         std::to_string(told) + R"(,"totalTokenCount":)" + std::to_string(9 + told) + "}}\r\n\r\n";
}

TEST_F(GeminiMeter, SeveralCandidatesHaveEndedWhenTheLastHas) {
  Begin(MakeGeminiMeter, {200, "text/event-stream", ""}, 2);
  Feed(Candidate(0, "", 10) + Candidate(1, "", 20) + Candidate(0, "STOP", 30));
  EXPECT_FALSE(meter_->ended());
  EXPECT_TRUE(meter_->may_end());
  EXPECT_TRUE(meter_->Finish(false).estimated);
  Feed(Candidate(1, "MAX_TOKENS", 40));
  EXPECT_TRUE(meter_->ended());
  EXPECT_EQ(meter_->Finish(true).output, 40);
  EXPECT_FALSE(meter_->Finish(true).estimated);
}

TEST_F(GeminiMeter, FewerCandidatesThanAskedForEndWithTheTransport) {
  Begin(MakeGeminiMeter, {200, "text/event-stream", ""}, 4);
  Feed(Candidate(0, "", 10));
  EXPECT_FALSE(meter_->may_end());
  Feed(Candidate(0, "STOP", 30));
  EXPECT_FALSE(meter_->ended());
  EXPECT_TRUE(meter_->may_end());
  EXPECT_EQ(meter_->Finish(true).output, 30);
  EXPECT_FALSE(meter_->Finish(true).estimated);
}

TEST_F(GeminiMeter, ABlockedGeminiPromptEndsTheStream) {
  Begin(MakeGeminiMeter);
  Feed(R"(data: {"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":9,)"
       R"("totalTokenCount":9}})"
       "\n\n");
  EXPECT_TRUE(meter_->ended());
  EXPECT_EQ(meter_->Finish(true).input, 9);
  EXPECT_FALSE(meter_->Finish(true).estimated);
}

TEST_F(GeminiMeter, UnspecifiedGeminiReasonsAreNoEnd) {
  Begin(MakeGeminiMeter);
  Feed("data: " + GeminiChunk("a", R"(,"finishReason":"FINISH_REASON_UNSPECIFIED"}])") +
       "\n\ndata: " + GeminiChunk("a", R"(,"finishReason":null}])") + "\n\n");
  EXPECT_FALSE(meter_->ended());
}

TEST_F(GeminiMeter, GeminiEmbeddingsAreEstimatedFromTheRequest) {
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

}  // namespace
}  // namespace relay
