// SPDX-License-Identifier: MIT
#include "core/http/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <utility>

#include "core/http/http1_syntax.h"

namespace relay {
namespace {

constexpr int32_t kConnectionWindow = 1 << 20;
// A head so many times larger than its bound is not even read to its end.
constexpr size_t kHopeless = 4;
// RFC 9113 §6.5.2.
constexpr size_t kFieldCost = 32;
// A window that grows by less moves no body (CVE-2019-9511).
constexpr int32_t kTinyWindow = 64;
constexpr size_t kMostControlFrames = 1000;
constexpr uint64_t kNoLimit = 1'000'000'000;
constexpr size_t kPreface = 24;
constexpr size_t kUsualFields = 24;
constexpr size_t kMostSent = size_t{256} << 10;  // of one head, compressed

std::string_view View(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

std::string_view NameOf(Http2Error code) {
  return nghttp2_http2_strerror(static_cast<uint32_t>(code));
}

Http2Session& Self(void* user_data) {
  return *static_cast<Http2Session*>(user_data);
}

}  // namespace

// The library's callbacks. None of them calls into the library but to account for windows and to
// mark a stream as reset, which it allows; none tells anything.
struct Http2Callbacks {
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
    Keep(self, View(name, name_size), View(value, value_size));
    return 0;
  }

  static void Keep(Http2Session& self, std::string_view name, std::string_view value) {
    HeadBlock& block = self.block_;
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
    if (!crumb && fields >= self.bounds_.header_fields) block.too_large = true;
    if (!block.too_large) block.head.Add(name, value);
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

  // One for the process, never changed.
  static const nghttp2_session_callbacks* Get() {
    static const nghttp2_session_callbacks* callbacks = Make();
    return callbacks;
  }
};

namespace {

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

const nghttp2_option* Options() {
  static const nghttp2_option* options = MakeOptions();
  return options;
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

nghttp2_data_provider Provider() {
  nghttp2_data_provider provider{};
  provider.read_callback = Http2Callbacks::Provide;
  return provider;
}

}  // namespace

Http2Session::Http2Session(Side side, const Bounds& bounds, const Clock& clock)
    : side_(side),
      bounds_(bounds),
      reader_(side == Side::kServer ? kPreface : 0),
      watch_(clock, side == Side::kServer, bounds.header_bytes) {
  int made = side == Side::kServer
                 ? nghttp2_session_server_new2(&session_, Http2Callbacks::Get(), this, Options())
                 : nghttp2_session_client_new2(&session_, Http2Callbacks::Get(), this, Options());
  if (made != 0) throw std::bad_alloc();
  std::array<nghttp2_settings_entry, 3> settings{};
  size_t count = 0;
  auto list_size = static_cast<uint32_t>(bounds.header_bytes);
  settings[count++] = {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, list_size};
  if (side == Side::kServer) {
    settings[count++] = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, bounds.streams};
  } else {
    settings[count++] = {NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
  }
  if (bounds.stream_window != NGHTTP2_INITIAL_WINDOW_SIZE) {
    settings[count++] = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, bounds.stream_window};
  }
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), count);
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
  Pump();
}

Http2Session::~Http2Session() {
  nghttp2_session_del(session_);
}

Http2Stream* Http2Session::Find(StreamId id) {
  auto at = streams_.find(id);
  return at == streams_.end() ? nullptr : &at->second;
}

Http2Stream& Http2Session::Add(StreamId id) {
  return streams_.try_emplace(id, id).first->second;
}

// Input --------------------------------------------------------------------------------------

Result<Unit> Http2Session::Read(Chunk bytes, StreamEvents& to) {
  reading_ = true;
  while (!bytes.empty() && !over()) {
    bool begun = false;
    size_t size = reader_.Next(bytes.view(), begun);
    if (begun) {
      const FrameHeader& header = reader_.header();
      if (auto code = watch_.OnFrame(header, Find(header.stream) != nullptr)) {
        Terminate(*code, *code == Http2Error::kProtocol ? "a stream begins after a newer one"
                                                        : "too many frames that nobody needs");
        break;
      }
    }
    Chunk piece = bytes.Slice(0, size);
    bytes.RemovePrefix(size);
    Feed(piece, to);
  }
  reading_ = false;
  if (failure_) return std::unexpected(*failure_);
  return Unit{};
}

void Http2Session::Feed(const Chunk& piece, StreamEvents& to) {
  step_ = Step();
  piece_ = &piece;
  ssize_t read = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(piece.data()),
                                          piece.size());
  piece_ = nullptr;
  if (read == NGHTTP2_ERR_BAD_CLIENT_MAGIC) {
    Terminate(Http2Error::kProtocol, "the connection does not begin as HTTP/2 does");
  } else if (read == NGHTTP2_ERR_FLOODED) {
    Terminate(Http2Error::kEnhanceYourCalm, "too many frames that want an answer");
  } else if (read < 0) {
    Terminate(Http2Error::kInternal, nghttp2_strerror(static_cast<int>(read)));
  }
  Tell(to);
  if (over()) return;
  if (step_.too_much) Terminate(Http2Error::kEnhanceYourCalm, "too many resets or odd frames");
  if (control_frames_ > kMostControlFrames) {
    Terminate(Http2Error::kEnhanceYourCalm, "too many frames wait to be answered");
  }
}

void Http2Session::Tell(StreamEvents& to) {
  Http2Stream* stream = step_.stream;
  if (stream != nullptr && step_.head) {
    if (step_.end) stream->in_ended = true;
    HandleHead(*stream, std::move(block_), step_.end, to);
  } else if (stream != nullptr && (step_.end || !step_.data.empty())) {
    if (step_.end) stream->in_ended = true;
    Chunk data = std::move(step_.data);
    if (!stream->dropping) HandleData(*stream, std::move(data), step_.end, to);
  }
  if (step_.pong) HandlePong();
  Pump();
  Sweep(&to);
  if (step_.last_id) to.OnGoAway(*step_.last_id);
  if (step_.room) TellRoom(to);
  Sweep(&to);
}

void Http2Session::TellRoom(StreamEvents& to) {
  // Each is asked once, and who gets something goes to the end: all have their share.
  for (size_t left = blocked_.size(); left > 0 && !over(); --left) {
    if (nghttp2_session_get_remote_window_size(session_) <= 0) return;
    StreamId id = blocked_.front();
    blocked_.erase(blocked_.begin());
    Http2Stream* stream = Find(id);
    if (stream == nullptr || stream->closed || stream->given_up) continue;
    if (nghttp2_session_get_stream_remote_window_size(session_, static_cast<int32_t>(id)) <= 0) {
      blocked_.push_back(id);
      continue;
    }
    stream->blocked = false;
    to.OnRoom(id);
  }
}

void Http2Session::ReadEof(StreamEvents& to) {
  if (over()) return;
  reading_ = true;
  eof_ = true;
  for (auto& [id, stream] : streams_) {
    if (!stream.closed && !stream.in_ended) {
      stream.closed = true;
      closed_.push_back(id);
    }
  }
  Sweep(&to);
  reading_ = false;
}

void Http2Session::Settle() {
  if (!reading_) Sweep(nullptr);
}

void Http2Session::Sweep(StreamEvents* to) {
  while (!sent_.empty() || !closed_.empty()) {
    if (!sent_.empty()) {
      StreamId id = sent_.back();
      sent_.pop_back();
      Http2Stream* stream = Find(id);
      if (stream != nullptr && !stream->closed) HandleSent(*stream);
      continue;
    }
    StreamId id = closed_.back();
    closed_.pop_back();
    Http2Stream* stream = Find(id);
    if (stream == nullptr) continue;
    if (to != nullptr && stream->known && !stream->given_up) HandleClosed(*stream, *to);
    if (stream->blocked) std::erase(blocked_, id);
    streams_.erase(id);
  }
}

void Http2Session::Terminate(Http2Error code, std::string_view why) {
  if (over()) return;
  nghttp2_session_terminate_session(session_, static_cast<uint32_t>(code));
  Pump();
  failure_.reset();
  SetFailure(code, why);
}

void Http2Session::SetFailure(Http2Error code, std::string_view why) {
  if (failure_) return;
  bool server = side_ == Side::kServer;
  std::string what = server ? "the client broke HTTP/2: " : "the upstream broke HTTP/2: ";
  what.append(NameOf(code));
  if (!why.empty()) what.append(", ").append(why);
  failure_ = Error{server ? Party::kClient : Party::kUpstream, Fault::kMalformed, std::move(what),
                   /*retryable=*/!server};
}

// Output -------------------------------------------------------------------------------------

void Http2Session::Pump() {
  while (!dead_) {
    const uint8_t* data = nullptr;
    ssize_t size = nghttp2_session_mem_send(session_, &data);
    if (size == 0) return;
    if (size < 0) {
      dead_ = true;
      SetFailure(Http2Error::kInternal, nghttp2_strerror(static_cast<int>(size)));
      return;
    }
    uint8_t type = data[3];
    bool control = type == NGHTTP2_RST_STREAM || type == NGHTTP2_SETTINGS || type == NGHTTP2_PING ||
                   type == NGHTTP2_WINDOW_UPDATE;
    if (control) ++control_frames_;
    output_.AppendCopy(View(data, static_cast<size_t>(size)));
  }
}

void Http2Session::TakeOutput(Buffer& to) {
  to.Append(output_);
  control_frames_ = 0;
}

void Http2Session::SubmitAnswer(Http2Stream& stream, const std::vector<Field>& fields, bool interim,
                                bool body) {
  nghttp2_data_provider provider = Provider();
  const std::vector<nghttp2_nv>& pairs = Pairs(fields);
  auto id = static_cast<int32_t>(stream.id);
  if (interim) {
    nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, id, nullptr, pairs.data(), pairs.size(),
                           nullptr);
  } else {
    stream.head_sent = true;
    stream.out_ended = !body;
    if (!body) sent_.push_back(stream.id);
    nghttp2_submit_response(session_, id, pairs.data(), pairs.size(), body ? &provider : nullptr);
  }
  Pump();
  if (std::exchange(unsent_, std::nullopt) == stream.id && !stream.closed) {
    stream.out_ended = false;
    GiveUp(stream, Http2Error::kInternal);
  }
}

std::optional<StreamId> Http2Session::SubmitRequest(const std::vector<Field>& fields, bool body) {
  nghttp2_data_provider provider = Provider();
  const std::vector<nghttp2_nv>& pairs = Pairs(fields);
  int32_t id = nghttp2_submit_request(session_, nullptr, pairs.data(), pairs.size(),
                                      body ? &provider : nullptr, nullptr);
  if (id <= 0) return std::nullopt;
  Http2Stream& stream = Add(static_cast<StreamId>(id));
  stream.known = true;
  stream.head_sent = true;
  stream.out_ended = !body;
  Pump();
  unsent_.reset();
  if (!stream.closed) return stream.id;
  streams_.erase(static_cast<StreamId>(id));
  return std::nullopt;
}

size_t Http2Session::Write(StreamId id, Buffer& body, bool end) {
  size_t offered = body.size();
  Http2Stream* stream = Find(id);
  bool takes = stream != nullptr && !stream->closed && !stream->given_up && stream->head_sent &&
               !stream->out_ended && !stream->end_waits && !over();
  // What differs from its announced length would be malformed: better a stream that breaks off.
  bool fits =
      !takes || !stream->left || (offered <= *stream->left && (!end || offered == *stream->left));
  if (!takes || !fits) {
    body.Clear();
    if (!fits) {
      GiveUp(*stream, Http2Error::kInternal);
      Settle();
    }
    return offered;
  }
  stream->source = &body;
  stream->source_end = end;
  nghttp2_session_resume_data(session_, static_cast<int32_t>(id));
  Pump();
  stream->source = nullptr;
  size_t taken = offered - body.size();
  if (stream->left) *stream->left -= taken;
  if (end && body.empty() && !stream->out_ended) stream->end_waits = true;
  if (!body.empty() && !stream->blocked && !stream->closed) {
    stream->blocked = true;
    blocked_.push_back(id);
  }
  Settle();
  return taken;
}

void Http2Session::Reopen(StreamId id, size_t n) {
  Http2Stream* stream = Find(id);
  if (stream == nullptr || stream->closed || stream->swallowing) return;
  n = std::min(n, stream->unconsumed);
  stream->unconsumed -= n;
  if (stream->in_ended || n == 0) return;
  nghttp2_session_consume_stream(session_, static_cast<int32_t>(id), n);
  Pump();
  Settle();
}

void Http2Session::Swallow(Http2Stream& stream) {
  stream.dropping = true;
  stream.swallowing = true;
  nghttp2_session_consume_stream(session_, static_cast<int32_t>(stream.id),
                                 std::exchange(stream.unconsumed, 0));
  Pump();
}

void Http2Session::GiveUp(Http2Stream& stream, Http2Error code) {
  stream.given_up = true;
  Break(stream, code);
}

void Http2Session::Break(Http2Stream& stream, Http2Error code) {
  stream.dropping = true;
  if (stream.closed) {  // with its last frame, which was the bad one
    stream.code = code;
    return;
  }
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, static_cast<int32_t>(stream.id),
                            static_cast<uint32_t>(code));
  Pump();
}

void Http2Session::SubmitPing() {
  watch_.OnPingSent();
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
  Pump();
}

void Http2Session::SubmitGoAway(bool notice) {
  if (notice) {
    nghttp2_submit_shutdown_notice(session_);
  } else {
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                          nullptr, 0);
  }
  Pump();
}

bool Http2Session::ids_left() const {
  return nghttp2_session_get_next_stream_id(session_) <= INT32_MAX;
}

size_t Http2Session::FreeStreams(size_t most) const {
  if (over() || nghttp2_session_check_request_allowed(session_) == 0) return 0;
  most = std::min<size_t>(
      most, nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS));
  return most - std::min(most, streams_.size());
}

// Heads --------------------------------------------------------------------------------------

void AppendHttp2Fields(const Head& head, bool request, std::vector<Field>& to) {
  for (const Field& field : head.fields) {
    if (IsHopByHop(field.name) || EqualsIgnoreCase(field.name, "content-length")) continue;
    if (request && (EqualsIgnoreCase(field.name, "host") || EqualsIgnoreCase(field.name, "expect")))
      continue;
    // What a filter or HTTP/1 brought must not make the whole message malformed.
    if (!IsToken(field.name) || !IsFieldValue(field.value)) continue;
    to.push_back({field.name, TrimBlanks(field.value)});
  }
}

}  // namespace relay
