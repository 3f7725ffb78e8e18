// SPDX-License-Identifier: MIT
// What a client is told when no account serves it: in general words, since names of accounts, hosts
// and the vendor's words about a credential are for the log.
#pragma once

#include <string>
#include <string_view>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/exchange/dialect.h"
#include "upstreams/account_pool.h"

namespace relay {

// Nobody serves: 503 for none, 429 with the earliest reset when all are limited, 403
// where only subscriptions are left for a client not the vendor's. Final but where time alone cures
// it: a limit, a busy account, one that was not asked.
Refusal RefusalOf(const NoAccount& none, std::string_view cluster, std::string_view model,
                  TimePoint now);
// The way to the upstream, or back, failed.
Refusal RefusalOfWay(const Error& error, std::string_view cluster);

}  // namespace relay
