// SPDX-License-Identifier: MIT
// Judges answers by rules: those of the cluster, then those that relay ships (rules.yaml).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/clock.h"
#include "core/config/root.h"
#include "core/http/message.h"
#include "upstreams/account_pool.h"

namespace relay {

// What a vendor says when it does not answer what was asked. Only its provider can read it.
struct VendorError {
  int status = 0;
  std::string cause;               // "429 rate_limit_error", for logs
  std::vector<std::string> types;  // what the vendor calls it; empty: no words of the vendor's
  std::string message;             // the whole body where the vendor says nothing
  TimePoint reset{};               // when the limit ends; epoch: not told
  TimePoint retry{};               // when to come back; epoch: not told
  Judgement::Scope scope = Judgement::Scope::kAccount;  // of the limit
};

// What a vendor calls an error, for VendorError::cause: at most 100 bytes, all printable ASCII.
std::string ShownName(std::string_view name);

class Rules {
 public:
  // `own`: asked before the shipped ones.
  explicit Rules(ProviderKind vendor, std::vector<AccountRule> own = {});

  // `head`: of the answer; null for an event in a stream. Never kFine.
  Judgement Judge(const VendorError& error, const Head* head, TimePoint now) const;

  // Of rules.yaml, read once.
  static const std::vector<AccountRule>& Shipped(ProviderKind vendor);

 private:
  std::vector<AccountRule> own_;
  const std::vector<AccountRule>& shipped_;
};

// The text of rules.yaml.
extern const std::string_view kRulesText;

}  // namespace relay
