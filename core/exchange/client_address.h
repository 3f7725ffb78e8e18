// SPDX-License-Identifier: MIT
// Where a request came from, for rules about addresses.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "core/base/network.h"
#include "core/http/message.h"

namespace relay {

// `peer`: the other end of the connection, with its port. If that is a trusted proxy, the client is
// who X-Forwarded-For names last, proxies that are trusted too left out; what stands before is
// anybody's claim. Nothing for a peer without an address.
std::optional<IpAddress> ClientAddress(std::string_view peer, const Head& request,
                                       std::span<const Network> trusted);

}  // namespace relay
