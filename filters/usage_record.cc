// SPDX-License-Identifier: MIT
// usage-record: writes what an exchange used into the ledger, once. The meter has read each piece
// of the answer before this filter sees it, and this filter sees it before the client does: what
// the client knows to be over is recorded.
#include <exception>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "core/exchange/exchange.h"
#include "core/exchange/explanation.h"
#include "core/metrics/metrics.h"
#include "core/store/keys.h"
#include "core/store/ledger.h"
#include "filters/registry.h"
#include "upstreams/prices.h"

namespace relay {
namespace {

using Recorded = Facts::Recorded;

struct UsageRecordOptions {};

// Writes the ledger down in the turn in which something ended, before any byte of the turn leaves.
class LedgerWriter final : public Flushable {
 public:
  explicit LedgerWriter(Ledger& ledger) : ledger_(ledger) {}
  ~LedgerWriter() {
    if (linked()) ledger_.Write();
  }
  void WriteSoon(Loop& loop) {
    if (!linked()) loop.FlushFirst(*this);
  }
  void Flush() override { ledger_.Write(); }

 private:
  Ledger& ledger_;
};

void Bind(Fields&, UsageRecordOptions&) {}

class UsageRecordFilter final : public Filter {
 public:
  UsageRecordFilter(const UsageRecordOptions&, const FilterContext& context)
      : ledger_(context.ledger),
        writer_(context.ledger),
        prices_(context.prices),
        metrics_(context.metrics) {}
  std::string_view name() const override { return "usage-record"; }

  Task<Verdict> OnRequest(Exchange& x) override {
    if (x.explanation != nullptr) TellPrice(x);
    return Verdict::Continue();
  }

  void OnResponseChunk(Exchange& x, std::string_view) override {
    if (x.facts.recorded == Recorded::kClosed || !x.has_usage()) return;
    if (x.meter()->ended()) {
      Close(x, true);
    } else if (x.facts.recorded == Recorded::kNot && x.meter()->seen()) {
      x.facts.recorded = Recorded::kOpened;
      ledger_.Open(EntryOf(x, false));
      writer_.WriteSoon(x.loop);
    }
  }

  // A broken stream counts as far as it was seen, estimated.
  void OnFinish(Exchange& x, const Outcome& outcome) noexcept override {
    if (x.facts.recorded == Recorded::kClosed || !x.has_usage()) return;
    try {
      Close(x, outcome.end == Outcome::End::kComplete);
    } catch (const std::exception&) {
      // No memory for the names of series: the ledger has its entry or counts it as lost.
    }
  }

 private:
  // Counters of one model.
  struct Series {
    Counter input;
    Counter output;
    Counter cache_read;
    Counter cache_write_5m;
    Counter cache_write_1h;
    Counter reasoning;
    Counter cost;
  };

  // Of a prompt that is not long.
  void TellPrice(const Exchange& x) const {
    if (x.ask.operation != Operation::kGenerate) {
      x.explanation->Say("records nothing: this call is free");
      return;
    }
    constexpr int64_t kThousand = 1000;
    auto dear = [&](int64_t input, int64_t output) {
      Usage usage;
      usage.model = x.ask.model;
      usage.input = input;
      usage.output = output;
      return prices_.Of(usage, x.route->upstream->provider(), x.loop.clock().Wall());
    };
    Cost input = dear(kThousand, 0);
    Cost output = dear(0, kThousand);
    std::string text = DollarsText(input.nanodollars * kThousand) + " for a million tokens in, " +
                       DollarsText(output.nanodollars * kThousand) + " out";
    if (input.guessed) text += ": a guess, since the price of " + x.ask.model + " is not known";
    x.explanation->Say(text)
        .With("nanodollars-per-million-in", input.nanodollars * kThousand)
        .With("nanodollars-per-million-out", output.nanodollars * kThousand)
        .With("guessed", input.guessed);
  }

  LedgerEntry EntryOf(const Exchange& x, bool complete) const {
    LedgerEntry entry{.id = x.id, .when = x.loop.clock().Wall()};
    entry.usage = x.meter()->Finish(complete);
    if (x.facts.key != nullptr) entry.key = x.facts.key->name;
    entry.model = entry.usage.model.empty() ? x.ask.model : entry.usage.model;
    entry.provider = x.route->upstream->provider();
    if (x.facts.lease != nullptr) {
      entry.account = std::string(x.route->upstream->name()) + "/";
      entry.account += x.facts.lease->account();
    }
    Cost cost = prices_.Of(entry.usage, entry.provider, entry.when);
    entry.nanodollars = cost.nanodollars;
    entry.guessed_price = cost.guessed;
    entry.status = x.outcome.status;
    entry.total = x.loop.Now() - x.started();
    return entry;
  }

  void Close(Exchange& x, bool complete) {
    x.facts.recorded = Recorded::kClosed;
    LedgerEntry entry = EntryOf(x, complete);
    const Usage usage = entry.usage;
    x.facts.used = {usage.total(), usage.output, entry.nanodollars, complete && !usage.estimated};
    const double dollars = static_cast<double>(entry.nanodollars) / 1e9;
    std::string_view model = ledger_.CountedAs(entry.model);
    ledger_.Close(std::move(entry));
    writer_.WriteSoon(x.loop);
    Series& series = SeriesOf(x.route->upstream->provider(), model);
    Add(series.input, usage.input);
    Add(series.output, usage.output);
    Add(series.cache_read, usage.cache_read);
    Add(series.cache_write_5m, usage.cache_write_5m);
    Add(series.cache_write_1h, usage.cache_write_1h);
    Add(series.reasoning, usage.reasoning);
    series.cost.Add(dollars);
  }

  static void Add(Counter counter, int64_t amount) {
    if (amount > 0) counter.Add(static_cast<double>(amount));
  }

  // `model` as the ledger counts it, which bounds them.
  Series& SeriesOf(std::string_view provider, std::string_view model) {
    auto at = series_.find(model);
    if (at != series_.end()) return at->second;
    Labels labels = {{"provider", std::string(provider)}, {"model", std::string(model)}};
    auto tokens = [&](const char* type) {
      Labels typed = labels;
      typed["type"] = type;
      return metrics_.MakeCounter("relay_tokens_total", "Tokens used; reasoning is part of output",
                                  typed);
    };
    Series series{tokens("input"),
                  tokens("output"),
                  tokens("cache_read"),
                  tokens("cache_write_5m"),
                  tokens("cache_write_1h"),
                  tokens("reasoning"),
                  metrics_.MakeCounter("relay_cost_usd_total",
                                       "What the usage cost by the price "
                                       "table, in US dollars",
                                       labels)};
    return series_.emplace(model, series).first->second;
  }

  Ledger& ledger_;
  LedgerWriter writer_;
  const Prices& prices_;
  Metrics& metrics_;
  // By model: a chain's cluster has one provider. The names are the ledger's.
  std::unordered_map<std::string_view, Series> series_;
};

}  // namespace

FilterKind UsageRecord() {
  return KindOf<UsageRecordOptions, UsageRecordFilter>(
      "writes what each exchange used into the ledger, and prices it", Only(Fact::kAccount),
      Only(Fact::kUsage));
}

}  // namespace relay
