// SPDX-License-Identifier: MIT
#include "admin/listener_limits.h"

#include <algorithm>

namespace relay {

ServerLimits ServerLimitsOf(const ListenerLimits& from) {
  ServerLimits limits;
  limits.codec.header_bytes = from.header_bytes.count;
  limits.codec.target_bytes = std::min(limits.codec.target_bytes, limits.codec.header_bytes);
  limits.codec.header_fields = static_cast<size_t>(from.header_fields);
  limits.codec.body_bytes = from.body_bytes.count;
  limits.codec.streams = static_cast<uint32_t>(from.streams);
  limits.header_timeout = from.header_timeout;
  limits.idle_timeout = from.idle_timeout;
  limits.write_stall = from.write_stall;
  return limits;
}

ExchangeLimits ExchangeLimitsOf(const ListenerLimits& from) {
  ExchangeLimits limits;
  limits.body_timeout = from.body_timeout;
  limits.body_idle = from.body_idle;
  limits.wrong_keys = from.wrong_keys;
  return limits;
}

}  // namespace relay
