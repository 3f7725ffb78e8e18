// SPDX-License-Identifier: MIT
// What was used, as `relay usage` shows it: JSON from the running relay, a table for people.
#pragma once

#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/store/ledger.h"

namespace relay {

// {"by":"key","rows":[{"name":…,"requests":…,…,"cost_usd":…}],"total":{…}}
std::string UsageJson(const Ledger& ledger, LedgerBy by);
// The table of such a text. Errors: it is not one.
Result<std::string> UsageTable(std::string_view json);

}  // namespace relay
