// SPDX-License-Identifier: MIT
// `relay accounts add` and `login`: ask a person for what makes an account.
#pragma once

#include <expected>
#include <string>

#include "admin/ask.h"
#include "admin/options.h"
#include "core/base/json.h"
#include "core/config/yaml.h"

namespace relay {

// Exit codes.
int AddAccount(const RunningRelay& relay, const Options& options, const Environment& environment);
int LogIn(const RunningRelay& relay, const Options& options, const Environment& environment);

// Adds to the object that is open in `json` what the options say of an account's terms. The error
// is for people.
std::expected<void, std::string> AddTerms(const Options& options, const Environment& environment,
                                          JsonText& json);

}  // namespace relay
