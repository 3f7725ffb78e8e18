// SPDX-License-Identifier: MIT
// nghttp2 as Http2Session uses it: the library's session, what it calls back, and heads and bodies
// in its shape.
#pragma once

#include <cstdint>
#include <vector>

#include "core/http/codec.h"

struct nghttp2_session;

namespace relay {

class Http2Session;

struct Http2Library {
  // Calls back on `self`, which owns it (nghttp2_session_del). Throws std::bad_alloc.
  static nghttp2_session* MakeSession(bool server, Http2Session& self);

  static void SubmitInterim(nghttp2_session* session, StreamId id,
                            const std::vector<Field>& fields);
  // `body`: data follow, as the stream's `source` has them.
  static void SubmitResponse(nghttp2_session* session, StreamId id,
                             const std::vector<Field>& fields, bool body);
  // The new stream's id; not above zero when the library refuses.
  static int32_t SubmitRequest(nghttp2_session* session, const std::vector<Field>& fields,
                               bool body);

 private:
  struct Callbacks;
};

}  // namespace relay
