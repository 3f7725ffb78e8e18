// SPDX-License-Identifier: MIT
#include "core/http/http2_library.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <new>
#include <string_view>

#include "core/http/http2_session.h"

namespace relay {
namespace {

// A head so many times larger than its bound is not even read to its end.
constexpr size_t kHopeless = 4;
// RFC 9113 §6.5.2.
constexpr size_t kFieldCost = 32;
// A window that grows by less moves no body (CVE-2019-9511).
constexpr int32_t kTinyWindow = 64;
constexpr size_t kUsualFields = 24;
constexpr size_t kMostSent = size_t{256} << 10;  // of one head, compressed
constexpr uint64_t kNoLimit = 1'000'000'000;

std::string_view View(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

Http2Session& Self(void* user_data) {
  return *static_cast<Http2Session*>(user_data);
}

void Keep(HeadBlock& block, size_t most_fields, std::string_view name, std::string_view value) {
  if (name.starts_with(':')) {
    // The library has seen to it that each is known and comes once, before all others.
    std::string_view* to = name == ":method"      ? &block.method
                           : name == ":scheme"    ? &block.scheme
                           : name == ":authority" ? &block.authority
                           : name == ":path"      ? &block.path
                                                  : &block.status;
    if (!block.too_large || to == &block.method) *to = block.head.Keep(value);
    return;
  }
  bool crumb = name == "cookie" && block.cookies++ > 0;
  size_t fields = block.head.fields.size() - (block.cookies > 0 ? block.cookies - 1 : 0);
  if (!crumb && fields >= most_fields) block.too_large = true;
  if (!block.too_large) block.head.Add(name, value);
}

nghttp2_option* MakeOptions() {
  nghttp2_option* made = nullptr;
  if (nghttp2_option_new(&made) != 0) throw std::bad_alloc();
  nghttp2_option_set_no_auto_window_update(made, 1);
  // FrameWatch counts both. The library would take each piece of input for a frame of CONTINUATION,
  // and has a clock and a code of its own for resets.
  nghttp2_option_set_stream_reset_rate_limit(made, kNoLimit, kNoLimit);
  nghttp2_option_set_max_continuations(made, kNoLimit);
  nghttp2_option_set_max_send_header_block_length(made, kMostSent);
  return made;
}

// For the library, which copies them at once and makes names lower-case. Valid until the next call.
const std::vector<nghttp2_nv>& Pairs(const std::vector<Field>& fields) {
  thread_local std::vector<nghttp2_nv> pairs;
  pairs.clear();
  // It takes pointers to what it does not change.
  auto bytes = [](std::string_view text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  };
  for (const Field& field : fields) {
    pairs.push_back({bytes(field.name), bytes(field.value), field.name.size(), field.value.size(),
                     NGHTTP2_NV_FLAG_NONE});
  }
  return pairs;
}

}  // namespace

// The library's callbacks. None of them calls into the library but to account for windows and to
// mark a stream as reset, which it allows; none tells anything.
struct Http2Library::Callbacks {
  static int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    Http2Session& self = Self(user_data);
    auto id = static_cast<StreamId>(frame->hd.stream_id);
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) self.Add(id);
    self.block_ = HeadBlock();
    self.block_.id = id;
    self.block_.head.fields.reserve(kUsualFields);
    return 0;
  }

  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                      void* user_data) {
    Http2Session& self = Self(user_data);
    HeadBlock& block = self.block_;
    block.bytes += name_size + value_size + kFieldCost;
    if (block.bytes > kHopeless * self.bounds_.header_bytes) {
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                NGHTTP2_ENHANCE_YOUR_CALM);
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    if (block.bytes > self.bounds_.header_bytes) block.too_large = true;
    const Http2Stream* stream = self.Find(block.id);
    if (stream == nullptr || stream->head_told) return 0;  // trailers are dropped
    Keep(block, self.bounds_.header_fields, View(name, name_size), View(value, value_size));
    return 0;
  }

  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    Http2Session& self = Self(user_data);
    Http2Session::Step& step = self.step_;
    auto id = static_cast<StreamId>(frame->hd.stream_id);
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS: {
        Http2Stream* stream = self.Find(id);
        if (stream == nullptr) break;
        step.stream = stream;
        step.head = !stream->head_told;
        step.end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
        break;
      }
      case NGHTTP2_DATA: {
        step.end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
        bool padding_only = frame->hd.length > 0 && frame->data.padlen >= frame->hd.length;
        if (padding_only && !step.end) step.too_much |= !self.watch_.CountOddity();
        if (step.end) step.stream = self.Find(id);
        break;
      }
      case NGHTTP2_RST_STREAM:
        if (Http2Stream* stream = self.Find(id)) {
          stream->peer_reset = true;
          if (self.side_ == Http2Session::Side::kServer) step.too_much |= !self.watch_.CountReset();
        }
        break;
      case NGHTTP2_SETTINGS: step.room = true; break;
      case NGHTTP2_PING: step.pong = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0; break;
      case NGHTTP2_GOAWAY:
        self.peer_went_away_ = true;
        step.last_id = static_cast<StreamId>(frame->goaway.last_stream_id);
        break;
      case NGHTTP2_WINDOW_UPDATE:
        step.room = true;
        if (frame->window_update.window_size_increment < kTinyWindow) {
          step.too_much |= !self.watch_.CountOddity();
        }
        break;
      default: break;
    }
    return 0;
  }

  static int OnData(nghttp2_session* session, uint8_t, int32_t stream_id, const uint8_t* data,
                    size_t size, void* user_data) {
    Http2Session& self = Self(user_data);
    // On arrival, so that a stream that nobody reads holds up no other.
    nghttp2_session_consume_connection(session, size);
    Http2Stream* stream = self.Find(static_cast<StreamId>(stream_id));
    if (stream == nullptr) return 0;
    stream->received += size;
    if (stream->swallowing) {
      nghttp2_session_consume_stream(session, stream_id, size);
      return 0;
    }
    stream->unconsumed += size;
    if (stream->dropping) return 0;
    self.step_.stream = stream;
    const char* begin = reinterpret_cast<const char*>(data);
    self.step_.data = self.piece_->Slice(static_cast<size_t>(begin - self.piece_->data()), size);
    return 0;
  }

  static int OnStreamClose(nghttp2_session*, int32_t stream_id, uint32_t code, void* user_data) {
    Http2Session& self = Self(user_data);
    Http2Stream* stream = self.Find(static_cast<StreamId>(stream_id));
    if (stream == nullptr || stream->closed) return 0;
    stream->closed = true;
    stream->code = static_cast<Http2Error>(code);
    self.closed_.push_back(stream->id);
    return 0;
  }

  static int OnFrameSent(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    Http2Session& self = Self(user_data);
    if (frame->hd.type == NGHTTP2_GOAWAY) {
      if (frame->goaway.error_code == NGHTTP2_NO_ERROR) return 0;
      self.SetFailure(static_cast<Http2Error>(frame->goaway.error_code),
                      View(frame->goaway.opaque_data, frame->goaway.opaque_data_len));
    } else if (frame->hd.type == NGHTTP2_RST_STREAM) {
      // MadeYouReset: what a client makes us reset counts as if it had done so itself.
      const Http2Stream* stream = self.Find(static_cast<StreamId>(frame->hd.stream_id));
      bool own = stream != nullptr && stream->given_up;
      if (!own && self.side_ == Http2Session::Side::kServer) {
        self.step_.too_much |= !self.watch_.CountReset();
      }
    }
    return 0;
  }

  static int OnFrameUnsent(nghttp2_session*, const nghttp2_frame* frame, int, void* user_data) {
    if (frame->hd.type == NGHTTP2_HEADERS) {
      Self(user_data).unsent_ = static_cast<StreamId>(frame->hd.stream_id);
    }
    return 0;
  }

  // How much of a stream's body goes into the next frame.
  static ssize_t Provide(nghttp2_session*, int32_t stream_id, uint8_t*, size_t most,
                         uint32_t* flags, nghttp2_data_source*, void* user_data) {
    Http2Session& self = Self(user_data);
    Http2Stream* stream = self.Find(static_cast<StreamId>(stream_id));
    if (stream == nullptr) return NGHTTP2_ERR_DEFERRED;
    size_t waiting = stream->source == nullptr ? 0 : stream->source->size();
    bool ends = stream->source == nullptr ? stream->end_waits : stream->source_end;
    if (waiting == 0 && !ends) return NGHTTP2_ERR_DEFERRED;
    size_t size = std::min(most, waiting);
    if (size > 0) *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (ends && size == waiting) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      stream->out_ended = true;
      stream->end_waits = false;
      self.sent_.push_back(stream->id);
    }
    return static_cast<ssize_t>(size);
  }

  static int SendData(nghttp2_session*, nghttp2_frame* frame, const uint8_t* header, size_t size,
                      nghttp2_data_source*, void* user_data) {
    constexpr size_t kHeader = 9;
    Http2Session& self = Self(user_data);
    Http2Stream* stream = self.Find(static_cast<StreamId>(frame->hd.stream_id));
    if (stream == nullptr || stream->source == nullptr) return NGHTTP2_ERR_CALLBACK_FAILURE;
    self.output_.AppendCopy(View(header, kHeader));
    while (size > 0) {
      Chunk chunk = stream->source->Pop(size);
      size -= chunk.size();
      self.output_.Append(std::move(chunk));
    }
    return 0;
  }

  static nghttp2_session_callbacks* Make() {
    nghttp2_session_callbacks* made = nullptr;
    if (nghttp2_session_callbacks_new(&made) != 0) throw std::bad_alloc();
    nghttp2_session_callbacks_set_on_begin_headers_callback(made, OnBeginHeaders);
    nghttp2_session_callbacks_set_on_header_callback(made, OnHeader);
    nghttp2_session_callbacks_set_on_frame_recv_callback(made, OnFrame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, OnData);
    nghttp2_session_callbacks_set_on_stream_close_callback(made, OnStreamClose);
    nghttp2_session_callbacks_set_on_frame_send_callback(made, OnFrameSent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(made, OnFrameUnsent);
    nghttp2_session_callbacks_set_send_data_callback(made, SendData);
    return made;
  }
};

nghttp2_session* Http2Library::MakeSession(bool server, Http2Session& self) {
  // One for the process each, never changed.
  static const nghttp2_session_callbacks* callbacks = Callbacks::Make();
  static const nghttp2_option* options = MakeOptions();
  nghttp2_session* session = nullptr;
  int made = server ? nghttp2_session_server_new2(&session, callbacks, &self, options)
                    : nghttp2_session_client_new2(&session, callbacks, &self, options);
  if (made != 0) throw std::bad_alloc();
  return session;
}

void Http2Library::SubmitInterim(nghttp2_session* session, StreamId id,
                                 const std::vector<Field>& fields) {
  const std::vector<nghttp2_nv>& pairs = Pairs(fields);
  nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, static_cast<int32_t>(id), nullptr,
                         pairs.data(), pairs.size(), nullptr);
}

void Http2Library::SubmitResponse(nghttp2_session* session, StreamId id,
                                  const std::vector<Field>& fields, bool body) {
  const std::vector<nghttp2_nv>& pairs = Pairs(fields);
  nghttp2_data_provider provider{.source = {}, .read_callback = Callbacks::Provide};
  nghttp2_submit_response(session, static_cast<int32_t>(id), pairs.data(), pairs.size(),
                          body ? &provider : nullptr);
}

int32_t Http2Library::SubmitRequest(nghttp2_session* session, const std::vector<Field>& fields,
                                    bool body) {
  const std::vector<nghttp2_nv>& pairs = Pairs(fields);
  nghttp2_data_provider provider{.source = {}, .read_callback = Callbacks::Provide};
  return nghttp2_submit_request(session, nullptr, pairs.data(), pairs.size(),
                                body ? &provider : nullptr, nullptr);
}

}  // namespace relay
