// SPDX-License-Identifier: MIT
// What both sides of HTTP/2 share: the library's session, the streams on it, windows and output.
// The library's callbacks only note what happened; it is told, and acted upon, when they are over,
// so nobody ever calls into the library from within it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/base/buffer.h"
#include "core/http/codec.h"
#include "core/http/http2_watch.h"

struct nghttp2_session;

namespace relay {

// One stream, from its first frame until the library has closed it.
struct Http2Stream {
  explicit Http2Stream(StreamId its_id) : id(its_id) {}

  const StreamId id;

  // What the peer sends.
  std::optional<uint64_t> announced;  // its content-length
  uint64_t received = 0;
  size_t unconsumed = 0;    // received, and the window not yet reopened for it
  int interim = 0;          // 1xx heads
  bool known = false;       // the user knows of the stream
  bool head_told = false;   // what comes now is the body, or trailers
  bool in_ended = false;    // its END_STREAM came
  bool dropping = false;    // no more of its body is told
  bool swallowing = false;  // answered: the rest of its body is read and dropped
  bool peer_reset = false;

  // What we send.
  std::optional<uint64_t> left;  // of the content-length that we announced
  Buffer* source = nullptr;      // only while SendData runs
  bool source_end = false;
  bool to_head = false;  // the answer to a HEAD: has no body
  bool head_sent = false;
  bool end_waits = false;  // everything is sent but the end, for want of window
  bool out_ended = false;  // our END_STREAM went out
  bool blocked = false;    // SendData took less than all

  bool given_up = false;  // reset by us for the user's sake: nothing is told any more
  bool closed = false;
  Http2Error code = Http2Error::kNone;  // with which it was closed
};

// A header block as it comes in. All views are into the head's arena.
struct HeadBlock {
  StreamId id = 0;
  Head head;
  std::string_view method, scheme, authority, path, status;
  size_t cookies = 0;  // fields of that name: RFC 9113 §8.2.3 lets a client cut one into several
  size_t bytes = 0;    // as RFC 9113 §6.5.2 counts
  bool too_large = false;
};

class Http2Session {
 public:
  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;

 protected:
  enum class Side : uint8_t { kServer, kClient };
  struct Bounds {
    size_t header_bytes;
    size_t header_fields;
    uint32_t streams;        // that the peer may open: 0 for a server's
    uint32_t stream_window;  // bytes
  };

  Http2Session(Side side, const Bounds& bounds, const Clock& clock);
  virtual ~Http2Session();

  // What came in, told when the library has returned; each may call anything but Read.
  virtual void HandleHead(Http2Stream& stream, HeadBlock block, bool end, StreamEvents& to) = 0;
  virtual void HandleData(Http2Stream& stream, Chunk data, bool end, StreamEvents& to) = 0;
  // The stream is over; it is forgotten right after.
  virtual void HandleClosed(Http2Stream& stream, StreamEvents& to) = 0;
  // Our END_STREAM went out.
  virtual void HandleSent(Http2Stream& stream) = 0;
  virtual void HandlePong() = 0;

  Result<Unit> Read(Chunk bytes, StreamEvents& to);
  // Tells each stream whose message had not ended that it is cut, by HandleClosed.
  void ReadEof(StreamEvents& to);
  size_t Write(StreamId id, Buffer& body, bool end);
  void Reopen(StreamId id, size_t n);
  void TakeOutput(Buffer& to);

  Http2Stream* Find(StreamId id);
  Http2Stream& Add(StreamId id);
  // Resets for the user's sake: what remains of the stream is told to nobody.
  void GiveUp(Http2Stream& stream, Http2Error code);
  // Resets for the peer's fault: HandleClosed follows.
  void Break(Http2Stream& stream, Http2Error code);
  // Submits a head and sends it; `body`: data follow. An interim head leaves the stream as it is.
  void SubmitAnswer(Http2Stream& stream, const std::vector<Field>& fields, bool interim, bool body);
  // The new stream's id; nothing when the library refuses.
  std::optional<StreamId> SubmitRequest(const std::vector<Field>& fields, bool body);
  void SubmitPing();
  // GOAWAY: `notice` announces the end (RFC 9113 §6.8), else nothing newer is taken any more.
  void SubmitGoAway(bool notice);
  // Ends what the calls before left to be done, unless Read will do it.
  void Settle();

  bool in_block() const { return watch_.in_block() || reader_.in_block(); }
  bool over() const { return failure_.has_value() || eof_; }
  bool peer_went_away() const { return peer_went_away_; }
  // How many streams we may open now, by the peer's SETTINGS and GOAWAY.
  size_t FreeStreams(size_t most) const;
  // A connection has 2^30 stream ids, and no more.
  bool ids_left() const;

  // Reads the window again for what is dropped, and goes on dropping.
  void Swallow(Http2Stream& stream);

 private:
  friend struct Http2Library;

  // What one piece of input brought.
  struct Step {
    Http2Stream* stream = nullptr;
    Chunk data;
    bool head = false;
    bool end = false;
    bool room = false;
    bool pong = false;
    bool too_much = false;
    std::optional<StreamId> last_id;  // of a GOAWAY
  };

  void Feed(const Chunk& piece, StreamEvents& to);
  void Tell(StreamEvents& to);
  void TellRoom(StreamEvents& to);
  // Streams that were sent or closed meanwhile. `to`: null when nobody can be told.
  void Sweep(StreamEvents* to);
  void Terminate(Http2Error code, std::string_view why);
  void Pump();
  void SetFailure(Http2Error code, std::string_view why);

  const Side side_;
  const Bounds bounds_;
  nghttp2_session* session_ = nullptr;
  FrameReader reader_;
  FrameWatch watch_;
  std::unordered_map<StreamId, Http2Stream> streams_;
  HeadBlock block_;
  Step step_;
  const Chunk* piece_ = nullptr;    // what the library reads just now
  std::vector<StreamId> sent_;      // ended by us
  std::vector<StreamId> closed_;    // closed by the library
  std::vector<StreamId> blocked_;   // first come, first served
  std::optional<StreamId> unsent_;  // an answer's head that the library could not send
  Buffer output_;
  size_t control_frames_ = 0;  // in output_
  bool reading_ = false;
  bool eof_ = false;
  bool peer_went_away_ = false;
  bool dead_ = false;  // the library failed
  std::optional<Error> failure_;
};

// The fields that may go out: hop-by-hop ones, content-length and bad ones are left out.
void AppendHttp2Fields(const Head& head, bool request, std::vector<Field>& to);

}  // namespace relay
