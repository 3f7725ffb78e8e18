// SPDX-License-Identifier: MIT
// RESP2, the protocol of Redis and Valkey (redis.io/docs/reference/protocol-spec), as bytes in and
// replies out: hiredis's reader and formatter, without its sockets. What a server announces is
// never taken for granted: memory is used for what has come, within bounds (R37).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"

struct redisReader;  // NOLINT(readability-identifier-naming): hiredis's own

namespace relay {

struct RespReply {
  enum class Kind : uint8_t { kNil, kInteger, kText, kStatus, kError, kArray };

  Kind kind = Kind::kNil;
  int64_t integer = 0;
  std::string text;              // of kText (any bytes), kStatus and kError
  std::vector<RespReply> items;  // of kArray

  bool Is(Kind what) const { return kind == what; }
  // The text of a kText or kStatus, the digits of a kInteger; else "".
  std::string Text() const;
  // Of a kInteger, or of a text that is a whole number; else nothing.
  std::optional<int64_t> Int() const;
  bool operator==(const RespReply&) const = default;
};

// Of one reply with all that is nested in it; arrays nest at most seven deep.
struct RespLimits {
  size_t bytes = size_t{64} << 20;  // of its texts together, and of what is not yet a whole text
  size_t items = 1'000'000;         // of its arrays together
};

class RespReader {
 public:
  // Throws std::bad_alloc only.
  explicit RespReader(RespLimits limits = {});
  RespReader(const RespReader&) = delete;
  RespReader& operator=(const RespReader&) = delete;
  ~RespReader();

  // The next bytes of the connection. Take all replies with Next before more are fed.
  void Feed(std::string_view bytes);
  // Nothing: more bytes are needed. Errors (kUpstream, kMalformed, retryable) say what the server
  // does instead ("speaks TLS on this port…"); from then on every call gives the same one.
  Result<std::optional<RespReply>> Next();

 private:
  struct Build;
  struct Free {
    void operator()(redisReader* reader) const;
  };
  std::unexpected<Error> Refuse(std::string what);

  std::unique_ptr<Build> build_;  // of the reply that is being read
  std::unique_ptr<redisReader, Free> reader_;
  std::optional<Error> broken_;
};

// Appends one command; its arguments may hold any bytes.
void AppendCommand(std::string& out, std::span<const std::string_view> arguments);

}  // namespace relay
