// SPDX-License-Identifier: MIT
// POST /admin/v1/explain: what would become of a request now.
#pragma once

#include "admin/api/router.h"
#include "admin/services.h"
#include "core/exchange/worker.h"

namespace relay {

// All outlive the router's use.
void AddExplainApi(ApiRouter& router, Services& services, Endpoints& endpoints);

}  // namespace relay
