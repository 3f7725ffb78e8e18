// SPDX-License-Identifier: MIT
#include "core/config/account_rules.h"

#include <algorithm>
#include <string_view>

#include "core/config/texts.h"

namespace relay {
namespace {

using namespace std::chrono_literals;

// Statuses by which a vendor speaks of the account: of its credential, its money, its limits.
constexpr std::string_view kOfAccount[] = {"401", "402", "403", "429"};
// What is wrong with a history is told by these.
constexpr std::string_view kOfHistory[] = {"400", "4xx"};
// A token that has ended is told by these.
constexpr std::string_view kOfToken[] = {"400", "401", "403", "4xx"};

const Fits kStatus{IsErrorStatus, "must be 3xx, 4xx, 5xx or a status 300..599"};
bool IsGlob(std::string_view text) {
  return !text.empty() && IsHeaderValue(text);
}

const Fits kGlob{IsGlob, "must be text without control bytes, in which '*' stands for any"};
const Fits kValue{IsHeaderValue, "must not hold control bytes"};

template <class List>
bool Has(const List& list, std::string_view word) {
  return std::ranges::find(list, word) != std::end(list);
}

// "3xx" has all of its hundred.
bool Covers(const std::string& wide, const std::string& narrow) {
  return wide == narrow || (wide.ends_with("xx") && wide[0] == narrow[0]);
}

// Whether all that matches `later` matches `earlier`, as far as that is plain to see.
bool TakesAllOf(const RuleMatch& earlier, const RuleMatch& later) {
  // One without anything was complained about.
  if (earlier.empty()) return false;
  auto same_or_any = [](const auto& wide, const auto& narrow) {
    return wide.empty() || wide == narrow;
  };
  if (!same_or_any(earlier.headers, later.headers)) return false;
  if (!same_or_any(earlier.errors, later.errors)) return false;
  if (!same_or_any(earlier.messages, later.messages)) return false;
  if (earlier.statuses.empty()) return true;
  return !later.statuses.empty() &&
         std::ranges::all_of(later.statuses, [&](const std::string& status) {
           return std::ranges::any_of(
               earlier.statuses, [&](const std::string& wide) { return Covers(wide, status); });
         });
}

// What cannot be meant. `status`: one that the rule names.
void CheckStatus(Fields& f, const AccountRule& r, const std::string& status) {
  bool renews = r.action == RuleAction::kExpired;
  if (renews && !Has(kOfToken, status)) {
    f.Complain("action", "cannot be expired with status " + status +
                             ": that a token has ended is told by 400, 401 or 403");
  }
  if (r.action == RuleAction::kThinking && !Has(kOfHistory, status)) {
    f.Complain("action", "cannot be thinking with status " + status +
                             ": what is wrong with a history is told by 400");
  }
  bool blames_vendor = r.action == RuleAction::kOverloaded || r.action == RuleAction::kBroken;
  if (status == "401" && (blames_vendor || r.action == RuleAction::kLimited)) {
    f.Complain("action",
               "must be expired, refused or next with status 401, which is about the credential");
  }
  if (r.action == RuleAction::kPass && !r.shows_account && Has(kOfAccount, status)) {
    f.Complain("action", "cannot be pass with status " + status +
                             ", by which the vendor speaks of the account; if clients may read "
                             "that, add 'shows-account: true'");
  }
}

}  // namespace

static std::span<const Word<RuleAction>> WordsOf(RuleAction) {
  static constexpr Word<RuleAction> kWords[] = {{"pass", RuleAction::kPass},
                                                {"thinking", RuleAction::kThinking},
                                                {"next", RuleAction::kNext},
                                                {"limited", RuleAction::kLimited},
                                                {"overloaded", RuleAction::kOverloaded},
                                                {"expired", RuleAction::kExpired},
                                                {"refused", RuleAction::kRefused},
                                                {"broken", RuleAction::kBroken}};
  return kWords;
}

static std::span<const Word<RuleScope>> WordsOf(RuleScope) {
  static constexpr Word<RuleScope> kWords[] = {{"vendor", RuleScope::kVendor},
                                               {"account", RuleScope::kAccount},
                                               {"family", RuleScope::kFamily}};
  return kWords;
}

static void Bind(Fields& f, RuleMatch& m) {
  f.Optional("status", m.statuses, OneOrMany{}, NonEmpty{}, kStatus,
             "of the answer; of an error event in a stream, the one that its type has");
  f.Optional("headers", m.headers, NonEmpty{}, kValue,
             "fields that the answer has, by name, and their values, in which '*' stands for any "
             "text");
  f.Optional("error", m.errors, OneOrMany{}, NonEmpty{}, kGlob,
             "what the vendor calls it: Claude's type, Google's status or reason");
  f.Optional("message", m.messages, OneOrMany{}, NonEmpty{}, kGlob,
             "what the vendor says: the error's message, or the whole body if it has none");
  if (!f.describing() && !f.Has("status") && !f.Has("headers") && !f.Has("error") &&
      !f.Has("message")) {
    f.ComplainHere("needs a 'status', 'headers', an 'error' or a 'message'");
  }
}

void Bind(Fields& f, AccountRule& r) {
  f.Title("rule");
  r.place = f.place();
  f.Required("match", r.match, "which answers, other than 2xx; all of it must hold");
  f.Required(
      "action", r.action,
      "what they mean: pass (the request's fault: on to the client), thinking (the same, but "
      "of thinking that another account signed: see failover), next (not for this "
      "account), limited, overloaded (the vendor's doing), expired (the token; a login's is "
      "renewed), refused (needs a person), broken");
  f.Optional("scope", r.scope,
             "limited: of the whole account, or of the family of models; vendor: as the answer "
             "says");
  f.Optional("for", r.rest, Range{Duration(1s), Duration(192h)},
             "limited, overloaded, refused: how long, where the vendor does not say");
  f.Optional("shows-account", r.shows_account,
             "pass: also what the vendor says about the account, which is kept from clients else");
  if (!f.Fine("action")) return;
  bool rests = r.action == RuleAction::kLimited || r.action == RuleAction::kOverloaded ||
               r.action == RuleAction::kRefused;
  if (r.action != RuleAction::kLimited) f.Complain("scope", "goes with action limited only");
  if (!rests) f.Complain("for", "goes with actions limited, overloaded and refused only");
  if (r.action != RuleAction::kPass) f.Complain("shows-account", "goes with action pass only");
  if (!f.Fine("match")) return;
  for (const std::string& status : r.match.statuses) CheckStatus(f, r, status);
}

void CheckRules(const std::vector<AccountRule>& rules, Problems& problems) {
  for (size_t later = 1; later < rules.size(); ++later) {
    for (size_t earlier = 0; earlier < later; ++earlier) {
      if (!TakesAllOf(rules[earlier].match, rules[later].match)) continue;
      problems.Add(rules[later].place, "the rule is never reached: the one at line " +
                                           std::to_string(rules[earlier].place.line) +
                                           " takes all that it matches");
      break;
    }
  }
}

bool RuleMatch::empty() const {
  return statuses.empty() && headers.empty() && errors.empty() && messages.empty();
}

bool RuleMatch::HasStatus(int status) const {
  if (statuses.empty()) return true;
  std::string exact = std::to_string(status);
  // What is beyond 599 is as wrong as a server can be.
  std::string group = std::to_string(std::min(status / 100, 5)) + "xx";
  return Has(statuses, exact) || Has(statuses, group);
}

}  // namespace relay
