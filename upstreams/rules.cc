// SPDX-License-Identifier: MIT
#include "upstreams/rules.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "core/store/keys.h"

namespace relay {
namespace {

struct ShippedRules {
  std::vector<AccountRule> claude;
  std::vector<AccountRule> gemini;
};

void Bind(Fields& f, ShippedRules& r) {
  f.Required("claude", r.claude, NonEmpty{});
  f.Required("gemini", r.gemini, NonEmpty{});
}

ShippedRules ReadShipped() {
  Problems problems;
  Environment none = [](std::string_view) { return std::optional<std::string>(); };
  Node root = ParseYaml({kRulesText, "rules.yaml", "", none}, problems);
  ShippedRules rules;
  ReadStruct(root, "", problems, rules);
  CheckRules(rules.claude, problems);
  CheckRules(rules.gemini, problems);
  if (problems.failed()) std::abort();  // a test reads it
  return rules;
}

bool AnyMatches(const std::vector<std::string>& globs, std::string_view text) {
  return std::ranges::any_of(globs, [&](const std::string& glob) { return GlobMatch(glob, text); });
}

bool Matches(const RuleMatch& match, const VendorError& error, const Head* head) {
  if (!match.HasStatus(error.status)) return false;
  if (!match.messages.empty() && !AnyMatches(match.messages, error.message)) return false;
  if (!match.errors.empty() && std::ranges::none_of(error.types, [&](const std::string& type) {
        return AnyMatches(match.errors, type);
      })) {
    return false;
  }
  return std::ranges::all_of(match.headers, [&](const auto& header) {
    return head != nullptr && head->Has(header.first) &&
           GlobMatch(header.second, head->Get(header.first));
  });
}

const AccountRule* Find(const std::vector<AccountRule>& rules, const VendorError& error,
                        const Head* head) {
  auto found = std::ranges::find_if(
      rules, [&](const AccountRule& rule) { return Matches(rule.match, error, head); });
  return found == rules.end() ? nullptr : &*found;
}

Judgement::Kind KindOf(RuleAction action) {
  using Kind = Judgement::Kind;
  switch (action) {
    case RuleAction::kPass:
    case RuleAction::kThinking: return Kind::kRequest;
    case RuleAction::kNext: return Kind::kUnsuited;
    case RuleAction::kLimited: return Kind::kLimited;
    case RuleAction::kOverloaded: return Kind::kOverloaded;
    case RuleAction::kExpired: return Kind::kExpired;
    case RuleAction::kRefused: return Kind::kRefused;
    case RuleAction::kBroken: return Kind::kBroken;
  }
  return Kind::kBroken;
}

// The vendor's words are then about the account, which no client shall read.
bool BlamesAccount(const AccountRule* rule) {
  if (rule == nullptr) return false;
  switch (rule->action) {
    case RuleAction::kPass:
    case RuleAction::kThinking:
    case RuleAction::kOverloaded:
    case RuleAction::kBroken: return false;
    default: return true;
  }
}

// Whether a rule of the cluster leaves it to the shipped ones when they say that it is the account:
// then no client shall read it, and a token that has ended must be renewed.
bool Yields(const AccountRule& own, int status) {
  switch (own.action) {
    case RuleAction::kPass:
    case RuleAction::kThinking: return !own.shows_account;
    case RuleAction::kLimited:
    case RuleAction::kOverloaded:
    case RuleAction::kBroken: return status == 401;  // which is about the credential
    default: return false;
  }
}

Judgement::Scope ScopeOf(RuleScope scope, const VendorError& error) {
  switch (scope) {
    case RuleScope::kVendor: break;
    case RuleScope::kAccount: return Judgement::Scope::kAccount;
    case RuleScope::kFamily: return Judgement::Scope::kFamily;
  }
  return error.scope;
}

}  // namespace

std::string ShownName(std::string_view name) {
  constexpr size_t kMost = 100;
  std::string shown(name.substr(0, kMost));
  auto odd = [](unsigned char byte) { return byte < ' ' || byte >= 0x7f; };
  std::ranges::replace_if(shown, odd, '?');
  return shown;
}

const std::vector<AccountRule>& Rules::Shipped(ProviderKind vendor) {
  static const ShippedRules kShipped = ReadShipped();
  return vendor == ProviderKind::kClaude ? kShipped.claude : kShipped.gemini;
}

Rules::Rules(ProviderKind vendor, std::vector<AccountRule> own)
    : own_(std::move(own)), shipped_(Shipped(vendor)) {}

Judgement Rules::Judge(const VendorError& error, const Head* head, TimePoint now) const {
  const AccountRule* rule = Find(own_, error, head);
  bool own = rule != nullptr;
  if (!own || Yields(*rule, error.status)) {
    const AccountRule* shipped = Find(shipped_, error, head);
    if (!own || BlamesAccount(shipped)) {
      rule = shipped;
      own = false;
    }
  }
  Judgement judgement;
  judgement.kind = rule == nullptr ? Judgement::Kind::kRequest : KindOf(rule->action);
  judgement.foreign_thinking = rule != nullptr && rule->action == RuleAction::kThinking;
  judgement.status = error.status;
  judgement.cause = error.cause;
  if (own) judgement.cause += ", by the rule at " + rule->place.Text();
  if (judgement.kind == Judgement::Kind::kLimited) {
    judgement.until = error.reset;
    judgement.scope = ScopeOf(rule->scope, error);
  }
  if (judgement.kind == Judgement::Kind::kOverloaded) judgement.until = error.retry;
  bool told = judgement.until != TimePoint();
  if (rule != nullptr && rule->rest > Duration::zero() && !told) {
    judgement.until = now + rule->rest;
  }
  return judgement;
}

}  // namespace relay
