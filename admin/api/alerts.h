// SPDX-License-Identifier: MIT
// /admin/v1/alerts: who is told of alerts and how the last one went, and a test of it. No answer
// holds a URL, which for many receivers is a password.
#pragma once

#include "admin/alerts.h"
#include "admin/api/router.h"

namespace relay {

// The alerts outlive the router's use.
void AddAlertsApi(ApiRouter& router, Alerts& alerts);

}  // namespace relay
