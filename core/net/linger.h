// SPDX-License-Identifier: MIT
// The polite end of a connection: what was written still arrives, though the peer goes on sending.
#pragma once

#include <memory>

#include "core/async/loop.h"
#include "core/net/transport.h"

namespace relay {

// Takes `transport` over: sends what is pending, ends our side, then discards what the peer sends
// until it ends, for one second or 64 KiB at most, and closes. Closing with unread bytes would
// reset the connection, and a reset may destroy an answer that the peer has not read yet (RFC 9112
// §9.6). The transport's old events are told nothing any more. Null is allowed.
void LingerAndClose(Loop& loop, std::unique_ptr<Transport> transport);

}  // namespace relay
