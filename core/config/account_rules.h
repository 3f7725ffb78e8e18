// SPDX-License-Identifier: MIT
// What an answer of a vendor's means for the account that gave it, as data: the rules that relay
// ships (upstreams/rules.yaml) and those of a cluster in relay.yaml, which are asked before them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/base/clock.h"
#include "core/config/fields.h"

namespace relay {

enum class RuleAction : uint8_t {
  kPass,        // the request's own fault: the answer goes to the client as it came
  kThinking,    // as kPass; but the history holds thinking that another account signed
  kNext,        // not for this account, which is not blamed; the next one is asked
  kLimited,     // the account is at a limit
  kOverloaded,  // the vendor is short of capacity
  kExpired,     // the token has ended: a login's is renewed, another credential counts as refused
  kRefused,     // the credential needs a person
  kBroken,      // the vendor's or the way's trouble; five in a row rest the account
};

// How much of an account a limit is of.
enum class RuleScope : uint8_t { kVendor, kAccount, kFamily };  // kVendor: as the answer says

// All that is said must hold; of a list, one item is enough.
struct RuleMatch {
  std::vector<std::string> statuses;                         // "403", "5xx"
  std::vector<std::pair<std::string, std::string>> headers;  // name -> glob of its value
  std::vector<std::string> errors;                           // globs of the error's type
  std::vector<std::string> messages;                         // globs of what it says

  bool empty() const;
  bool HasStatus(int status) const;
};

struct AccountRule {
  RuleMatch match;
  RuleAction action = RuleAction::kPass;
  RuleScope scope = RuleScope::kVendor;
  Duration rest{};             // where the vendor names no end; zero: the pool's own
  bool shows_account = false;  // kPass: also what the shipped rules blame an account for
  Place place;
};
void Bind(Fields& f, AccountRule& r);

// Complains about rules that an earlier one leaves nothing to.
void CheckRules(const std::vector<AccountRule>& rules, Problems& problems);

}  // namespace relay
