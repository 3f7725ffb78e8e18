// SPDX-License-Identifier: MIT
// GET /admin/v1/usage?by=key: what was used.
#pragma once

#include "admin/api/router.h"
#include "core/store/ledger.h"

namespace relay {

// The ledger outlives the router's use.
void AddUsageApi(ApiRouter& router, const Ledger& ledger);

}  // namespace relay
