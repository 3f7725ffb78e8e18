// SPDX-License-Identifier: MIT
// How keys and their limits are bound.
#include <algorithm>
#include <string>

#include "core/config/fits.h"
#include "core/config/root.h"
#include "core/config/root_check.h"

namespace relay {
namespace {

using namespace std::chrono_literals;

const Fits kBound{IsBound, "must be the name of an account, or tag: and a tag"};
const Fits kDate{IsDate, "must be a day like 2027-01-31"};
const Fits kClient{IsClientGlob,
                   "must be claude-code, gemini-cli, or a User-Agent in which '*' stands for any "
                   "text"};
const Range kDollars{0.000001, 1'000'000.0};

}  // namespace

void Bind(Fields& f, LimitsConfig& l) {
  f.Optional("requests-per-minute", l.requests_per_minute, Range{1, 1'000'000'000},
             "starts in any 60 seconds");
  f.Optional("tokens-per-minute", l.tokens_per_minute, Range{1, 1'000'000'000'000},
             "tokens of all kinds in any 60 seconds");
  f.Optional("concurrency", l.concurrency, Range{1, 1'000'000}, "requests at once");
  f.Optional("cost-per-5h", l.cost_per_5h, kDollars, "US dollars in 5 hours, from the first use");
  f.Optional("cost-per-day", l.cost_per_day, kDollars, "US dollars a day of time-zone");
  f.Optional("cost-per-week", l.cost_per_week, kDollars, "US dollars a week, from Monday");
  f.Optional("cost-per-month", l.cost_per_month, kDollars, "US dollars a calendar month");
  f.Optional("cost-total", l.cost_total, kDollars, "US dollars in all");
}

static void Bind(Fields& f, ModelRules& m) {
  f.Optional("allow", m.allow, OneOrMany{}, NonEmpty{}, kModelGlob, "only these models");
  f.Optional("deny", m.deny, OneOrMany{}, NonEmpty{}, kModelGlob, "never these; wins over allow");
}

void Bind(Fields& f, KeyTerms& t) {
  f.Optional("services", t.services, OneOrMany{}, NonEmpty{}, "what it may use; without it all");
  f.Optional("limits", t.limits, "what it may use of it");
  f.Optional("service-limits", t.service_limits,
             "limits that hold for one service alone, beside those above");
  f.Optional("models", t.models, "which models it may name");
  f.Optional("expires", t.expires, kDate, "it is refused from that day of time-zone on");
  f.Optional("expires-after-first-use", t.expires_after_first_use,
             Range{Duration(1min), Duration(87'600h)},
             "it is refused so long after it was used first");
  f.Optional("allowed-addresses", t.allowed_addresses, OneOrMany{}, NonEmpty{}, kNetwork,
             "clients of these alone; see trusted-proxies of the listener");
  f.Optional("clients", t.clients, OneOrMany{}, NonEmpty{}, kClient,
             "these alone, by their User-Agent");
  f.Optional(
      "bind", t.bind, NonEmpty{}, kBound,
      "by cluster: the account that alone serves this key, or tag:NAME, those with that tag");
  f.Optional("tags", t.tags, OneOrMany{}, NonEmpty{}, kName, "for the operator");
  f.Optional("decisions", t.decisions,
             "answers tell by x-relay-decision which route and account they came by");
  for (const auto& [service, limits] : t.service_limits) {
    const Node* at = f.NodeOf("service-limits");
    bool known = std::ranges::any_of(WordsOf(ProviderKind{}), [&](const Word<ProviderKind>& word) {
      return word.text == service;
    });
    if (known || at == nullptr) continue;
    for (const Node::Entry& entry : at->entries) {
      if (entry.key == service)
        f.ComplainAt(entry.key_place,
                     "'" + service + "' is no service; there are claude and gemini");
    }
  }
}

void Bind(Fields& f, KeyDraft& k) {
  f.Title("key");
  k.place = f.place();
  f.Required("name", k.name, kName, "unique; appears in logs and the ledger");
  f.Optional("key", k.key, NonEmpty{}, kNoPlaceholder, kRelayKey,
             "what clients send; empty through ${NAME:=}: the key is left out");
  Bind(f, static_cast<KeyTerms&>(k));
  f.Optional("disabled", k.disabled, "it is refused");
  const Node* key = f.NodeOf("key");
  if (key && key->Emptied()) {
    k.emptied_by = key->emptied_by;
  } else if (!key && !f.describing()) {
    f.ComplainHere("needs a 'key'");
  }
}

}  // namespace relay
