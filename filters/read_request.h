// SPDX-License-Identifier: MIT
// What several filters need first: the body, and what the provider reads from it.
#pragma once

#include "core/async/task.h"
#include "core/base/error.h"

namespace relay {

class Exchange;

// Loads the body and has the provider complete x.ask from it, once an exchange, whoever asks
// first: what a filter then changes in x.ask stays. Errors: as Exchange::LoadBody, or a body that
// is not what the provider takes.
Task<Result<Unit>> ReadRequest(Exchange& x);

}  // namespace relay
