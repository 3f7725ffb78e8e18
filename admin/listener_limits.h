// SPDX-License-Identifier: MIT
// What listeners[].limits of relay.yaml come to, for the codec and for exchanges.
#pragma once

#include "core/config/root.h"
#include "core/exchange/worker.h"
#include "core/http/connection.h"

namespace relay {

ServerLimits ServerLimitsOf(const ListenerLimits& from);
ExchangeLimits ExchangeLimitsOf(const ListenerLimits& from);

}  // namespace relay
