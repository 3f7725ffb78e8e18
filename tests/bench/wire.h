// SPDX-License-Identifier: MIT
// What the two ends of the benchmark agree on: the request bodies, the one JSON answer (compared
// byte for byte by the load generator), the events of a stream with the time stamp inside, the
// clock, and the few socket calls both need. Nothing of the relay is linked here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace relay::bench {

// CLOCK_MONOTONIC in nanoseconds; the same clock in every process of this machine.
int64_t NowNs();

// The JSON body (1,024 bytes) that answers every request without `"stream":true`.
const std::string& MessageBody();

// A request body of exactly `bytes` bytes in the shape of POST /v1/messages: text blocks with
// escapes,
// `"stream":true` last when `stream`. Sizes below about 400 bytes come out as 400.
std::string RequestBody(size_t bytes, bool stream);

// What a stream begins with (message_start with usage, content_block_start) and ends with
// (content_block_stop, message_delta with usage, message_stop), as SSE text.
std::string StreamHead();
std::string StreamTail();

// One content_block_delta whose text holds its number and the time of sending.
std::string DeltaEvent(uint32_t number, int64_t sent_ns);

struct DeltaStamp {
  uint32_t number = 0;
  int64_t sent_ns = 0;
};

// The stamp in one SSE event (without its blank line); nothing if it is no content_block_delta.
std::optional<DeltaStamp> ReadDelta(std::string_view event);

// `text` as one chunk of HTTP/1.1's chunked coding (RFC 9112 section 7.1).
std::string AsChunk(std::string_view text);

// The value of header `name` (lower case) in a head's text, or nothing. First occurrence, trimmed.
std::optional<std::string_view> HeaderValue(std::string_view head, std::string_view name);

// A listening, non-blocking socket on 127.0.0.1; `port` 0 is replaced by the one given. Exits on
// error.
int Listen(uint16_t& port);

// Sends every write at once, as both proxies do.
void SetNoDelay(int fd);

// A non-blocking socket connecting to 127.0.0.1:port, TCP_NODELAY set; -1 and errno on error.
int StartConnect(uint16_t port);

// Lets epoll time-outs be met to the microsecond and raises the descriptor limit as far as allowed.
void PrepareProcess();

}  // namespace relay::bench
