// SPDX-License-Identifier: MIT
// Which Google Cloud project a login of Code Assist works in: asked of the vendor, who makes one
// for a newcomer. As Gemini CLI 0.61 does it (packages/core/src/code_assist/setup.ts).
#pragma once

#include <string>

#include "core/async/task.h"
#include "core/base/error.h"
#include "core/base/secret.h"
#include "upstreams/vendor_call.h"

namespace relay {

// `endpoint`: the account's, of Code Assist. `wanted`: a project of the person's own, which paid
// tiers need; "": none. Asks loadCodeAssist, and onboardUser for who is not known yet, whose
// operation it follows every five seconds until `deadline`. Errors (kUpstream, for people):
// refused, or not eligible in the vendor's words; kClient: a project must be named.
Task<Result<std::string>> DiscoverProject(VendorCalls& calls, AccountEndpoint endpoint,
                                          Secret access, std::string wanted, TimePoint deadline);

}  // namespace relay
