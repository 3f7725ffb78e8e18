// SPDX-License-Identifier: MIT
#include "core/http/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <utility>

#include "core/http/http1_syntax.h"
#include "core/http/http2_library.h"

namespace relay {
namespace {

constexpr int32_t kConnectionWindow = 1 << 20;
constexpr size_t kMostControlFrames = 1000;
constexpr size_t kPreface = 24;

std::string_view View(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

std::string_view NameOf(Http2Error code) {
  return nghttp2_http2_strerror(static_cast<uint32_t>(code));
}

}  // namespace

Http2Session::Http2Session(Side side, const Bounds& bounds, const Clock& clock)
    : side_(side),
      bounds_(bounds),
      reader_(side == Side::kServer ? kPreface : 0),
      watch_(clock, side == Side::kServer, bounds.header_bytes) {
  session_ = Http2Library::MakeSession(side == Side::kServer, *this);
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
  if (interim) {
    Http2Library::SubmitInterim(session_, stream.id, fields);
  } else {
    stream.head_sent = true;
    stream.out_ended = !body;
    if (!body) sent_.push_back(stream.id);
    Http2Library::SubmitResponse(session_, stream.id, fields, body);
  }
  Pump();
  if (std::exchange(unsent_, std::nullopt) == stream.id && !stream.closed) {
    stream.out_ended = false;
    GiveUp(stream, Http2Error::kInternal);
  }
}

std::optional<StreamId> Http2Session::SubmitRequest(const std::vector<Field>& fields, bool body) {
  int32_t id = Http2Library::SubmitRequest(session_, fields, body);
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
