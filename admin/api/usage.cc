// SPDX-License-Identifier: MIT
#include "admin/api/usage.h"

#include "admin/options.h"
#include "admin/usage_report.h"

namespace relay {

void AddUsageApi(ApiRouter& router, const Ledger& ledger) {
  router.Add("GET", "/admin/v1/usage", [&ledger](ApiRequest& request) -> Task<Reply> {
    std::string word = request.Query("by");
    auto by = word.empty() ? LedgerBy::kKey : ParseLedgerBy(word);
    if (!by) return ApiError(400, "'by' " + by.error());
    return Reply{.body = UsageJson(ledger, *by)};
  });
}

}  // namespace relay
