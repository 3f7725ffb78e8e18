// SPDX-License-Identifier: MIT
// What a taken request becomes on its way to the upstream.
#pragma once

#include <string_view>

#include "core/http/message.h"

namespace relay {

// Sends a request that was taken to an HTTP/1 upstream, with another one behind it: the reference
// must see these two, the first with the same head and body.
void CheckSentOn(const Head& request, std::string_view body);

}  // namespace relay
