// SPDX-License-Identifier: MIT
// account-select: reads the request and takes a lease on an account of the cluster that can serve
// it, the session's own if possible.
#include <memory>
#include <string>
#include <string_view>
#include <utility>

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
};

void Bind(Fields& f, AccountSelectOptions& o) {
  f.Optional("sticky", o.sticky, "what stays on one account as long as that account can serve");
  f.Optional("wait", o.wait, Range{Duration(0), Duration(5min)},
             "for a place while all accounts are busy");
}

class AccountSelectFilter final : public Filter {
 public:
  AccountSelectFilter(const AccountSelectOptions& o, const FilterContext& context)
      : options_(o), cluster_(context.cluster) {}
  std::string_view name() const override { return "account-select"; }

  Task<Verdict> OnRequest(Exchange& x) override {
    Result<Unit> read = co_await ReadRequest(x);
    if (!read) co_return Verdict::Refuse(ToRefusal(read.error()));
    std::string sticky = StickyOf(x);
    std::expected<Unit, Refusal> selected =
        co_await cluster_.Select(x, std::move(sticky), options_.wait);
    if (!selected) co_return Verdict::Refuse(std::move(selected.error()));
    co_return Verdict::Continue();
  }

 private:
  // Always within the key's scope, so that no client can reach for another's session.
  std::string StickyOf(const Exchange& x) const {
    // What a passthrough path makes (files, batches) exists on the account that made it.
    if (options_.sticky == Sticky::kKey || !x.ask.metered) return x.facts.key->name;
    if (options_.sticky == Sticky::kNone || x.ask.session.empty()) return {};
    return x.facts.key->name + "\n" + x.ask.session;
  }

  const AccountSelectOptions options_;
  Cluster& cluster_;
};

}  // namespace

FilterKind AccountSelect() {
  return KindOf<AccountSelectOptions, AccountSelectFilter>(
      "reads the request and takes a lease on an account that can serve it", Only(Fact::kKey),
      Fact::kAccount | Fact::kBody);
}

}  // namespace relay
