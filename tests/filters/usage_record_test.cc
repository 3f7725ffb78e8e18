// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/store/ledger_books.h"
#include "tests/core/store/full_disk.h"
#include "tests/core/store/temp_folder.h"
#include "tests/support/cancel_everywhere.h"
#include "tests/support/exchange_fixture.h"

namespace relay {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kMessages = "POST /api/v1/messages";
constexpr std::string_view kChain =
    "- auth: {service: claude}\n- account-select: {}\n- usage-record: {}\n";
const std::vector<std::string> kAlice = {"x-api-key: cr_alice_0123456789"};
constexpr std::string_view kAsk = R"({"model":"claude-haiku-4-5","stream":true})";

constexpr std::string_view kStart =
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":"
    "\"claude-haiku-4-5-20251001\",\"usage\":{\"input_tokens\":100,\"cache_read_input_tokens\":7,"
    "\"output_tokens\":1}}}\n\n";
constexpr std::string_view kText =
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{"
    "\"type\":\"text_delta\",\"text\":\"hello there, this is an answer\"}}\n\n";
constexpr std::string_view kUsage =
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
    "\"end_turn\"},\"usage\":{\"output_tokens\":20}}\n\n";
constexpr std::string_view kStop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

struct UsageRecordTest : testing::Test {
  static std::unique_ptr<ExchangeWorld> MakeWorld() {
    auto world = std::make_unique<ExchangeWorld>(std::string(kChain));
    world->AddKey("cr_alice_0123456789", {.name = "alice"});
    return world;
  }
  static std::unique_ptr<ExchangeWorld> Streaming() {
    auto world = MakeWorld();
    world->upstream.reply = "";
    world->Ask(kMessages, kAlice, kAsk);
    EXPECT_FALSE(world->upstream.calls.empty());
    Say(*world, ScriptedUpstream::EventStream());
    return world;
  }
  static void Say(ExchangeWorld& world, std::string_view bytes) {
    world.upstream.calls.back()->vendor->Send(bytes);
    world.Run();
  }
  static void Event(ExchangeWorld& world, std::string_view event) {
    Say(world, ScriptedUpstream::Piece(event));
  }
  static LedgerTotals TotalsOf(const ExchangeWorld& world) {
    LedgerTotals sum;
    for (const LedgerRow& row : world.ledger.Sum(LedgerBy::kKey)) sum.Add(row.totals);
    return sum;
  }
};

TEST_F(UsageRecordTest, RecordsAWholeStreamOnce) {
  auto world = Streaming();
  Event(*world, kStart);
  Event(*world, kText);
  EXPECT_EQ(TotalsOf(*world).requests, 0);
  EXPECT_EQ(world->ledger.unsettled(), 1U);
  Event(*world, kUsage);
  Event(*world, kStop);
  Say(*world, "0\r\n\r\n");
  EXPECT_EQ(world->exchange(), nullptr);

  std::vector<LedgerEntry> entries = world->ledger.Recent(10);
  ASSERT_EQ(entries.size(), 1U);
  const LedgerEntry& entry = entries[0];
  EXPECT_THAT(entry.id, testing::StartsWith("req_"));
  EXPECT_EQ(entry.key, "alice");
  EXPECT_EQ(entry.model, "claude-haiku-4-5-20251001");
  EXPECT_EQ(entry.provider, "claude");
  EXPECT_EQ(entry.account, "vendor/a");
  EXPECT_EQ(entry.usage.input, 100);
  EXPECT_EQ(entry.usage.cache_read, 7);
  EXPECT_EQ(entry.usage.output, 20);
  EXPECT_FALSE(entry.usage.estimated);
  EXPECT_EQ(entry.status, 200);
  EXPECT_EQ(entry.when, world->clock.Wall());
  EXPECT_EQ(entry.nanodollars,
            Prices::Builtin().Of(entry.usage, "claude", world->clock.Wall()).nanodollars);
  EXPECT_GT(entry.nanodollars, 0);
  EXPECT_EQ(world->ledger.unsettled(), 0U);
}

TEST_F(UsageRecordTest, ClosesBeforeTheClientLearnsOfTheEnd) {
  auto world = Streaming();
  TempFolder temp;
  FullDisk disk;
  LedgerBooks books(temp.File("journal"), "run", 1, disk);
  ASSERT_TRUE(books.Begin());
  world->ledger.WriteTo(&books);
  Event(*world, kStart);
  Event(*world, kUsage);
  const int before = disk.writes;
  // Step by step: whenever the client has the end, the ledger has it already.
  world->upstream.calls.back()->vendor->Send(ScriptedUpstream::Piece(kStop));
  bool seen = false;
  for (int i = 0; i < 50 && !seen; ++i) {
    if (i % 2 == 0) {
      world->MoveLines();
    } else {
      world->loop.Turn();
    }
    bool on_its_way = world->line().in_flight(MemoryLine::kClient) > 0;
    seen = world->client().text.find("message_stop") != std::string::npos;
    if (!on_its_way && !seen) continue;
    EXPECT_EQ(TotalsOf(*world).requests, 1);
    EXPECT_EQ(disk.writes, before + 1) << "and so has the journal";
  }
  EXPECT_TRUE(seen);
  EXPECT_NE(world->exchange(), nullptr);  // the vendor has not ended its answer
  world->ledger.WriteTo(nullptr);
}

TEST_F(UsageRecordTest, RecordsAJsonAnswer) {
  auto world = MakeWorld();
  world->upstream.reply = ScriptedUpstream::Json(
      200, R"({"model":"claude-haiku-4-5","usage":{"input_tokens":9,"output_tokens":3}})");
  world->Ask(kMessages, kAlice, R"({"model":"claude-haiku-4-5"})");
  EXPECT_EQ(world->status(), 200);
  LedgerTotals totals = TotalsOf(*world);
  EXPECT_EQ(totals.requests, 1);
  EXPECT_EQ(totals.input, 9);
  EXPECT_EQ(totals.output, 3);
  EXPECT_EQ(totals.estimated, 0);
}

TEST_F(UsageRecordTest, EstimatesAStreamThatTheVendorBreaksOff) {
  auto world = Streaming();
  Event(*world, kStart);
  Event(*world, kText);
  world->upstream.calls.back()->vendor->Close();
  world->Run();
  LedgerTotals totals = TotalsOf(*world);
  EXPECT_EQ(totals.requests, 1);
  EXPECT_EQ(totals.estimated, 1);
  EXPECT_EQ(totals.input, 100);
  EXPECT_GT(totals.output, 1);
  EXPECT_EQ(world->ledger.unsettled(), 0U);
}

TEST_F(UsageRecordTest, EstimatesAStreamThatTheClientLeaves) {
  auto world = Streaming();
  Event(*world, kStart);
  Event(*world, kText);
  world->HangUp();
  world->Run();
  EXPECT_EQ(world->exchange(), nullptr);
  EXPECT_EQ(TotalsOf(*world).requests, 1);
  EXPECT_EQ(TotalsOf(*world).estimated, 1);
}

TEST_F(UsageRecordTest, DoesNotCountAgainWhenTheClientLeavesAfterTheEnd) {
  auto world = Streaming();
  Event(*world, kStart);
  Event(*world, kUsage);
  Event(*world, kStop);
  world->HangUp();
  world->Run();
  EXPECT_EQ(world->exchange(), nullptr);
  EXPECT_EQ(TotalsOf(*world).requests, 1);
  EXPECT_EQ(TotalsOf(*world).estimated, 0);
  EXPECT_EQ(TotalsOf(*world).output, 20);
}

TEST_F(UsageRecordTest, RecordsNothingForRefusalsErrorsAndFreeCalls) {
  auto world = MakeWorld();
  world->Ask(kMessages, {}, kAsk);
  EXPECT_EQ(world->status(), 401);
  world->upstream.reply = ScriptedUpstream::Json(
      429, R"({"type":"error","error":{"type":"rate_limit_error","message":"no"}})");
  world->Ask(kMessages, kAlice, kAsk);
  EXPECT_EQ(world->status(), 429);
  world->upstream.reply = ScriptedUpstream::Json(200, R"({"input_tokens":5})");
  world->Ask("POST /api/v1/messages/count_tokens", kAlice, kAsk);
  EXPECT_EQ(world->status(), 200);
  world->upstream.reply = "";
  world->Ask(kMessages, kAlice, kAsk);
  world->upstream.calls.back()->vendor->Close();
  world->Run();
  EXPECT_EQ(world->status(), 502);
  EXPECT_EQ(TotalsOf(*world).requests, 0);
  EXPECT_EQ(world->ledger.unsettled(), 0U);
  EXPECT_THAT(world->metrics.Text(true), Not(HasSubstr("relay_tokens_total{")));
}

TEST_F(UsageRecordTest, CountsTokensAndCostByModel) {
  auto world = Streaming();
  Event(*world, kStart);
  Event(*world, kUsage);
  Event(*world, kStop);
  std::string text = world->metrics.Text(false);
  const std::string of = "{model=\"claude-haiku-4-5-20251001\",provider=\"claude\"";
  EXPECT_THAT(text, HasSubstr("relay_tokens_total" + of + ",type=\"input\"} 100"));
  EXPECT_THAT(text, HasSubstr("relay_tokens_total" + of + ",type=\"output\"} 20"));
  EXPECT_THAT(text, HasSubstr("relay_tokens_total" + of + ",type=\"cache_read\"} 7"));
  EXPECT_THAT(text, HasSubstr("relay_tokens_total" + of + ",type=\"reasoning\"} 0"));
  EXPECT_THAT(text, HasSubstr("relay_cost_usd_total" + of + "} 0.000"));
}

TEST_F(UsageRecordTest, BoundsTheModelsInMetrics) {
  auto world = MakeWorld();
  for (size_t i = 0; i < Ledger::kModels + 20; ++i) {
    world->upstream.reply = ScriptedUpstream::Json(
        200, "{\"model\":\"m" + std::to_string(i) + "\",\"usage\":{\"input_tokens\":1}}");
    world->Ask(kMessages, kAlice, R"({"model":"m"})");
  }
  std::string text = world->metrics.Text(false);
  EXPECT_THAT(text, HasSubstr("{model=\"other\",provider=\"claude\",type=\"input\"} 20"));
  EXPECT_THAT(text, Not(HasSubstr("model=\"m" + std::to_string(Ledger::kModels + 1) + "\"")));
}

TEST_F(UsageRecordTest, RecordsGemini) {
  ExchangeWorld world("- auth: {service: gemini}\n- account-select: {}\n- usage-record: {}\n",
                      ProviderKind::kGemini);
  world.AddKey("cr_alice_0123456789", {.name = "alice"});
  world.upstream.reply = ScriptedUpstream::Json(
      200, R"({"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}],)"
           R"("usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":2,"totalTokenCount":6},)"
           R"("modelVersion":"gemini-2.5-pro"})");
  world.Ask("POST /api/v1beta/models/gemini-2.5-pro:generateContent", kAlice, "{}");
  EXPECT_EQ(world.status(), 200);
  std::vector<LedgerEntry> entries = world.ledger.Recent(10);
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].provider, "gemini");
  EXPECT_EQ(entries[0].model, "gemini-2.5-pro");
  EXPECT_EQ(entries[0].usage.input, 4);
  EXPECT_EQ(entries[0].usage.output, 2);
}

TEST_F(UsageRecordTest, RecordsEachAnswerOnceWhereverItIsCut) {
  for (Cut cut : {Cut::kClientGone, Cut::kAborted}) {
    CancelSceneOf<ExchangeWorld> scene;
    scene.begin = [] {
      auto world = MakeWorld();
      world->upstream.reply = ScriptedUpstream::EventStream();
      for (std::string_view event : {kStart, kText, kText, kUsage, kStop}) {
        world->upstream.reply += ScriptedUpstream::Piece(event);
      }
      world->upstream.reply += "0\r\n\r\n";
      world->Begin(ExchangeWorld::Request(kMessages, kAlice, kAsk));
      return world;
    };
    scene.on_step = [](ExchangeWorld& world, int) {
      if (world.upstream.calls.empty()) return;
      world.upstream.calls.back()->line.cut = [](size_t waiting) {
        return std::min<size_t>(waiting, 23);
      };
    };
    scene.check = [](ExchangeWorld& world) {
      int64_t requests = TotalsOf(world).requests;
      bool answered = world.client().text.find("message_start") != std::string::npos;
      EXPECT_LE(requests, 1);
      if (answered) EXPECT_EQ(requests, 1);
      EXPECT_EQ(world.ledger.unsettled(), 0U);
      EXPECT_EQ(world.ledger.Recent(10).size(), static_cast<size_t>(requests));
    };
    EXPECT_GT(CancelEverywhere(scene, cut), 60);
  }
}

}  // namespace
}  // namespace relay
