// SPDX-License-Identifier: MIT
// account-select: reads the request and takes a lease on an account of the cluster that can serve
// it, the session's own if possible.
#include <algorithm>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/config/fits.h"
#include "core/exchange/exchange.h"
#include "core/store/keys.h"
#include "filters/read_request.h"
#include "filters/registry.h"
#include "upstreams/cluster.h"

namespace relay {
namespace {

using namespace std::chrono_literals;

enum class Sticky : uint8_t { kSession, kKey, kNone };

std::span<const Word<Sticky>> WordsOf(Sticky) {
  static constexpr Word<Sticky> kWords[] = {
      {"session", Sticky::kSession}, {"key", Sticky::kKey}, {"none", Sticky::kNone}};
  return kWords;
}

struct AccountSelectOptions {
  Sticky sticky = Sticky::kSession;
  Duration wait = 5s;
  Duration cache_wait = 2s;
  std::vector<std::string> tags;
  Place tags_place;
};

void Bind(Fields& f, AccountSelectOptions& o) {
  f.Optional("sticky", o.sticky, "what stays on one account as long as that account can serve");
  f.Optional("wait", o.wait, Range{Duration(0), Duration(5min)},
             "for a place while all accounts are busy");
  f.Optional("cache-wait", o.cache_wait, Range{Duration(0), Duration(1min)},
             "of 'wait', for the session's own account while that has its prompt cached");
  f.Optional("tags", o.tags, OneOrMany{}, NonEmpty{}, kName,
             "only accounts that have one of these; without it all");
  o.tags_place = f.PlaceOf("tags");
}

// An account of the store may have a tag that none of the file has.
void CheckSite(const AccountSelectOptions& o, const FilterSite& site, Problems& problems) {
  if (o.tags.empty() || site.cluster == nullptr) return;
  auto has_one = [&](const AccountConfig& account) {
    return std::ranges::any_of(account.tags, [&](const std::string& tag) {
      return std::ranges::find(o.tags, tag) != o.tags.end();
    });
  };
  if (std::ranges::any_of(site.cluster->accounts, has_one)) return;
  problems.Warn(o.tags_place, "no account of cluster '" + site.cluster->name +
                                  "' in this file has one of these tags; until the store has one, "
                                  "route '" +
                                  site.route.name + "' serves nobody");
}

class AccountSelectFilter final : public Filter {
 public:
  AccountSelectFilter(const AccountSelectOptions& o, const FilterContext& context)
      : options_(o),
        tags_(std::make_shared<const std::vector<std::string>>(o.tags)),
        cluster_(context.cluster) {}
  std::string_view name() const override { return "account-select"; }

  Task<Verdict> OnRequest(Exchange& x) override {
    Result<Unit> read = co_await ReadRequest(x);
    if (!read) co_return Verdict::Refuse(ToRefusal(read.error()));
    Cluster::Selection selection{StickyOf(x), tags_, options_.wait, options_.cache_wait};
    std::expected<Unit, Refusal> selected = co_await cluster_.Select(x, std::move(selection));
    if (!selected) co_return Verdict::Refuse(std::move(selected.error()));
    co_return Verdict::Continue();
  }

  // Before the client sees the end, which may go on at once.
  void OnResponseChunk(Exchange& x, std::string_view) override {
    if (Caches(x) && x.meter()->ended()) NoteUsage(x, true);
  }

  // A broken stream tells at its begin what was read from the cache.
  void OnFinish(Exchange& x, const Outcome& outcome) noexcept override {
    if (!Caches(x) || x.meter()->ended()) return;
    try {
      NoteUsage(x, outcome.end == Outcome::End::kComplete);
    } catch (const std::exception&) {
      // No memory for the model's name: what is cached is not known.
    }
  }

 private:
  static bool Caches(const Exchange& x) { return x.has_usage() && x.facts.lease != nullptr; }
  static void NoteUsage(Exchange& x, bool complete) {
    x.facts.lease->NoteUsage(x.meter()->Finish(complete), x.started() + x.facts.way.waited);
  }
  // Always within the key's scope, so that no client can reach for another's session.
  std::string StickyOf(const Exchange& x) const {
    // What a passthrough path makes (files, batches) exists on the account that made it.
    if (options_.sticky == Sticky::kKey || !x.ask.metered) return x.facts.key->name;
    if (options_.sticky == Sticky::kNone || x.ask.session.empty()) return {};
    // The pool keeps it for long, and a client may send what it likes.
    return x.facts.key->name + "\n" + x.ask.session.substr(0, kLongestKept);
  }

  const AccountSelectOptions options_;
  const std::shared_ptr<const std::vector<std::string>> tags_;
  Cluster& cluster_;
};

}  // namespace

FilterKind AccountSelect() {
  return KindOf<AccountSelectOptions, AccountSelectFilter>(
      "reads the request and takes a lease on an account that can serve it", Only(Fact::kKey),
      Fact::kAccount | Fact::kBody);
}

}  // namespace relay
