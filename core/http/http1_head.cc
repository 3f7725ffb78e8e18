// SPDX-License-Identifier: MIT
#include "core/http/http1_head.h"

#include <llhttp.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "core/http/http1_syntax.h"

namespace relay {
namespace {

// RFC 9112 §2.2 lets a client send some; more is nobody's mistake.
constexpr uint8_t kMostEmptyLines = 8;
constexpr size_t kMostEmptyBytes = 2 * kMostEmptyLines;
// What clients of ours may ask. CONNECT and TRACE never; others nobody serves.
constexpr std::array<std::string_view, 7> kMethods = {"GET",    "HEAD",    "POST", "PUT",
                                                      "DELETE", "OPTIONS", "PATCH"};

bool ReadVersion(std::string_view text, Version& version) {
  if (text == "HTTP/1.1") {
    version = Version::kHttp11;
    return true;
  }
  if (text == "HTTP/1.0") {
    version = Version::kHttp10;
    return true;
  }
  return false;
}

// What llhttp, whose strict mode is on and whose lenient flags are off, makes of a whole head.
struct SecondOpinion {
  bool complete = false;
  bool chunked = false;
  bool has_length = false;
  uint64_t length = 0;
  bool skip_body = false;
};

int OnHeadersComplete(llhttp_t* parser) {
  auto* opinion = static_cast<SecondOpinion*>(parser->data);
  opinion->complete = true;
  opinion->chunked = (parser->flags & F_CHUNKED) != 0;
  opinion->has_length = (parser->flags & F_CONTENT_LENGTH) != 0;
  opinion->length = parser->content_length;
  parser->upgrade = 0;  // never taken up
  return opinion->skip_body ? 1 : 0;
}

const llhttp_settings_t& Settings() {
  static const llhttp_settings_t kSettings = [] {
    llhttp_settings_t made;
    llhttp_settings_init(&made);
    made.on_headers_complete = OnHeadersComplete;
    return made;
  }();
  return kSettings;
}

// Two readers must agree on the framing, or the message could be two to somebody else.
bool Agrees(std::string_view raw, llhttp_type_t type, const ScannedHead& scanned, bool to_head) {
  SecondOpinion opinion;
  opinion.skip_body = to_head;
  llhttp_t parser;
  llhttp_init(&parser, type, &Settings());
  parser.data = &opinion;
  if (llhttp_execute(&parser, raw.data(), raw.size()) != HPE_OK || !opinion.complete) return false;
  switch (scanned.framing) {
    case Framing::kChunked: return opinion.chunked && !opinion.has_length;
    case Framing::kLength:
      return !opinion.chunked && opinion.has_length && opinion.length == scanned.length;
    case Framing::kUntilClose: return !opinion.chunked && !opinion.has_length;
    case Framing::kNone: return type == HTTP_RESPONSE || !opinion.chunked;
  }
  return false;
}

// The thread's scan while no connection has it: its list of fields is made once.
std::unique_ptr<HeadScan>& Spare() {
  thread_local std::unique_ptr<HeadScan> spare;
  return spare;
}

}  // namespace

HeadScan::Borrowed HeadScan::Borrow(Kind kind, const HeadBounds& bounds) {
  std::unique_ptr<HeadScan>& spare = Spare();
  if (spare == nullptr) return Borrowed(new HeadScan(kind, bounds));
  spare->kind_ = kind;
  spare->bounds_ = bounds;
  return Borrowed(spare.release());
}

void HeadScan::GiveBack::operator()(HeadScan* scan) const {
  std::unique_ptr<HeadScan> owned(scan);
  owned->StartOver();
  Spare() = std::move(owned);
}

std::unexpected<Error> HeadScan::Malformed(std::string_view what) const {
  return Fail(kind_ == Kind::kRequest ? Party::kClient : Party::kUpstream, Fault::kMalformed,
              std::string(what), /*retryable=*/kind_ == Kind::kAnswer);
}

Result<Unit> HeadScan::CheckBounds(size_t reached) const {
  bool line = !first_line_read_ && reached - line_ > bounds_.line_bytes;
  if (!line && reached - begin_ <= bounds_.head_bytes) return Unit{};
  if (kind_ == Kind::kAnswer) return Malformed("the answer's head is too large");
  return line ? Fail(Party::kClient, Fault::kTargetTooLong, "the request line is too long")
              : Fail(Party::kClient, Fault::kHeadTooLarge, "the request's head is too large");
}

Result<bool> HeadScan::Feed(Chunk& bytes) {
  if (partial_.empty()) {
    bytes_ = bytes.view();
    Result<bool> complete = Scan(bytes_);
    if (!complete) return complete;
    if (*complete) {
      piece_ = bytes;
      bytes.RemovePrefix(end_);
      return true;
    }
    partial_ = bytes_;
    DropEmptyLines();
    bytes = Chunk();
    return false;
  }
  size_t before = partial_.size();
  // What is over the bound needs not be copied to be refused.
  partial_.append(bytes.view().substr(0, bounds_.head_bytes + kMostEmptyBytes + 4 - before));
  bytes_ = partial_;
  Result<bool> complete = Scan(bytes_);
  if (!complete) return complete;
  if (!*complete) {
    DropEmptyLines();
    bytes = Chunk();
    return false;
  }
  bytes.RemovePrefix(end_ - before);
  return true;
}

void HeadScan::DropEmptyLines() {
  // Once the first line was read, spans count from where it began.
  if (first_line_read_ || begin_ == 0) return;
  partial_.erase(0, begin_);
  line_ -= begin_;
  searched_ -= begin_;
  begin_ = 0;
}

Result<bool> HeadScan::Scan(std::string_view bytes) {
  for (;;) {
    size_t at = FindControl(bytes, searched_);
    Result<Unit> bounded = CheckBounds(at);
    if (!bounded) return std::unexpected(bounded.error());
    searched_ = at;
    if (at == bytes.size()) return false;
    if (bytes[at] == '\t') {
      ++searched_;
      continue;
    }
    if (bytes[at] == '\n') return Malformed("a line ends in LF without CR");
    if (bytes[at] != '\r') return Malformed("a control byte stands in the head");
    if (at + 1 == bytes.size()) return false;
    if (bytes[at + 1] != '\n') return Malformed("a CR stands alone in the head");
    std::string_view line = bytes.substr(line_, at - line_);
    line_ = searched_ = at + 2;
    if (!first_line_read_) {
      if (line.empty()) {
        if (kind_ == Kind::kAnswer) return Malformed("an answer begins with an empty line");
        if (++empty_lines_ > kMostEmptyLines) return Malformed("too many empty lines");
        begin_ = line_;
        continue;
      }
      Result<Unit> read = kind_ == Kind::kRequest ? ReadRequestLine(line) : ReadStatusLine(line);
      if (!read) return std::unexpected(read.error());
      first_line_read_ = true;
      continue;
    }
    if (line.empty()) {
      end_ = line_;
      bounded = CheckBounds(end_);
      if (!bounded) return std::unexpected(bounded.error());
      return true;
    }
    Result<Unit> read = ReadField(line);
    if (!read) return std::unexpected(read.error());
  }
}

Result<Unit> HeadScan::ReadRequestLine(std::string_view line) {
  size_t method_end = TokenLength(line);
  if (method_end == 0 || method_end == line.size() || line[method_end] != ' ') {
    return Malformed("the request line does not begin with a method and one space");
  }
  std::string_view method = line.substr(0, method_end);
  std::string_view rest = line.substr(method_end + 1);
  std::string_view target = rest.substr(0, rest.find(' '));
  // A second space before or after the target ends up in front of the version.
  if (target.empty() || target.size() == rest.size()) {
    return Malformed("the request line is not: method, target, version");
  }
  if (!ReadVersion(rest.substr(target.size() + 1), version_)) {
    return Malformed("the version is neither HTTP/1.1 nor HTTP/1.0");
  }
  for (char c : target) {
    auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7f) return Malformed("encode bytes of the target in percent");
    if (c == '#') return Malformed("a fragment stands in the target");
  }
  const auto* known = std::find(kMethods.begin(), kMethods.end(), method);
  if (known == kMethods.end() || (target == "*" && method == "OPTIONS")) {
    return Fail(Party::kClient, Fault::kMethod, "this method is not served");
  }
  method_ = *known;
  target_ = SpanOf(target);
  return Unit{};
}

Result<Unit> HeadScan::ReadStatusLine(std::string_view line) {
  constexpr size_t kVersionSize = 8;
  if (!ReadVersion(line.substr(0, kVersionSize), version_)) {
    return Malformed("the answer is neither HTTP/1.1 nor HTTP/1.0");
  }
  std::string_view rest = line.substr(kVersionSize);
  bool digits = rest.size() >= 4 && rest[0] == ' ' && IsDigit(rest[1]) && IsDigit(rest[2]) &&
                IsDigit(rest[3]) && (rest.size() == 4 || rest[4] == ' ');
  if (!digits) return Malformed("the answer's status is not three digits");
  status_ = (rest[1] - '0') * 100 + (rest[2] - '0') * 10 + (rest[3] - '0');
  if (status_ < 100 || status_ > 599) return Malformed("the answer's status is out of range");
  return Unit{};
}

Result<Unit> HeadScan::ReadField(std::string_view line) {
  if (fields_.size() >= bounds_.fields) {
    if (kind_ == Kind::kAnswer) return Malformed("the answer has too many header fields");
    return Fail(Party::kClient, Fault::kHeadTooLarge, "the request has too many header fields");
  }
  size_t colon = TokenLength(line);
  if (colon == 0) return Malformed("a header line begins with no name, or is folded");
  if (colon == line.size() || line[colon] != ':') {
    return Malformed("a header's name is no token that a colon follows");
  }
  std::string_view name = line.substr(0, colon);
  std::string_view value = TrimBlanks(line.substr(colon + 1));
  // An empty value's place may lie behind the line; its size says enough.
  fields_.push_back({SpanOf(name), SpanOf(value)});
  return Note(name, value);
}

Result<Unit> HeadScan::Note(std::string_view name, std::string_view value) {
  switch (name.size()) {
    case 4:
      if (!EqualsIgnoreCase(name, "host")) break;
      if (kind_ == Kind::kAnswer) break;
      if (++hosts_ > 1) return Malformed("Host is given twice");
      if (!IsHostAndPort(value)) return Malformed("Host is not a host and a port");
      host_ = SpanOf(value);
      break;
    case 6:
      if (!EqualsIgnoreCase(name, "expect")) break;
      if (EqualsIgnoreCase(value, "100-continue")) {
        continue_ = true;
      } else {
        expectation_ = true;
      }
      break;
    case 10:
      if (!EqualsIgnoreCase(name, "connection")) break;
      ForEachToken(value, [this](std::string_view token) {
        if (EqualsIgnoreCase(token, "close")) close_ = true;
      });
      break;
    case 14:
      if (!EqualsIgnoreCase(name, "content-length")) break;
      if (++lengths_ > 1) return Malformed("Content-Length is given twice");
      if (!ReadDecimal(value, length_)) return Malformed("Content-Length is not a number");
      break;
    case 17:
      if (!EqualsIgnoreCase(name, "transfer-encoding")) break;
      if (++encodings_ > 1) return Malformed("Transfer-Encoding is given twice");
      if (!EqualsIgnoreCase(value, "chunked")) {
        return Malformed("Transfer-Encoding is something else than chunked");
      }
      chunked_ = true;
      break;
    default: break;
  }
  return Unit{};
}

Result<Unit> HeadScan::DecideFraming(ScannedHead& scanned) const {
  if (chunked_ && lengths_ > 0) {
    return Malformed("Content-Length and Transfer-Encoding are both given");
  }
  if (chunked_ && version_ == Version::kHttp10) {
    return Malformed("Transfer-Encoding is given with HTTP/1.0");
  }
  if (chunked_) {
    scanned.framing = Framing::kChunked;
  } else if (lengths_ > 0) {
    scanned.framing = Framing::kLength;
    scanned.length = length_;
    scanned.head.content_length = length_;
  }
  return Unit{};
}

Result<ScannedHead> HeadScan::TakeRequest() {
  ScannedHead scanned;
  Result<Unit> decided = DecideFraming(scanned);
  if (!decided) return std::unexpected(decided.error());
  if (hosts_ == 0 && version_ == Version::kHttp11) return Malformed("Host is missing");
  CopyInto(scanned.head);
  Result<Unit> set = SetTarget(scanned.head);
  if (!set) return std::unexpected(set.error());
  if (!Agrees(bytes_.substr(begin_, end_ - begin_), HTTP_REQUEST, scanned, false)) {
    return Malformed("the request's head is not valid");
  }
  if (version_ == Version::kHttp11) {  // RFC 9110 §10.1.1: HTTP/1.0 knows no expectations
    if (expectation_) {
      return Fail(Party::kClient, Fault::kExpectation, "only 100-continue can be expected");
    }
    bool body = scanned.framing == Framing::kChunked || scanned.length > 0;
    scanned.head.expects_continue = continue_ && body;
  }
  scanned.head.method = method_;
  scanned.head.close = close_ || version_ == Version::kHttp10;
  StartOver();
  return scanned;
}

Result<Unit> HeadScan::SetTarget(Head& head) const {
  std::string_view target = head.target;
  head.authority = hosts_ > 0 ? head.authority : std::string_view();
  if (target.starts_with('/')) return Unit{};
  // RFC 9112 §3.2.2: an absolute target's authority goes before Host.
  size_t scheme = target.find("://");
  if (scheme == std::string_view::npos || (!EqualsIgnoreCase(target.substr(0, scheme), "http") &&
                                           !EqualsIgnoreCase(target.substr(0, scheme), "https"))) {
    return Malformed("the target does not begin with a slash");
  }
  target.remove_prefix(scheme + 3);
  std::string_view authority = target.substr(0, target.find_first_of("/?"));
  if (!IsHostAndPort(authority)) return Malformed("the target's authority is not valid");
  target.remove_prefix(authority.size());
  head.authority = authority;
  head.target = target.starts_with('/') ? target : head.Keep("/" + std::string(target));
  return Unit{};
}

Result<ScannedHead> HeadScan::TakeAnswer(bool to_head) {
  ScannedHead scanned;
  Result<Unit> decided = DecideFraming(scanned);
  if (!decided) return std::unexpected(decided.error());
  if (status_ == 101) return Malformed("the upstream switches protocols unasked");
  bool interim = status_ < 200;
  bool none = to_head || interim || status_ == 204 || status_ == 304;
  if (none) {
    scanned.framing = Framing::kNone;
  } else if (scanned.framing == Framing::kNone) {
    scanned.framing = Framing::kUntilClose;
  }
  if (!Agrees(bytes_.substr(begin_, end_ - begin_), HTTP_RESPONSE, scanned, to_head)) {
    return Malformed("the answer's head is not valid");
  }
  CopyInto(scanned.head);
  scanned.head.target = {};
  scanned.head.authority = {};
  scanned.head.status = status_;
  scanned.head.close = !interim && (close_ || version_ == Version::kHttp10 ||
                                    scanned.framing == Framing::kUntilClose);
  StartOver();
  return scanned;
}

void HeadScan::CopyInto(Head& head) {
  std::string_view raw = bytes_.substr(begin_, end_ - begin_);
  char* copy = head.arena().Allocate(raw.size());
  std::memcpy(copy, raw.data(), raw.size());
  auto moved = [&](Span span) { return std::string_view(copy + (span.at - begin_), span.size); };
  head.version = version_;
  if (kind_ == Kind::kRequest) {
    head.target = moved(target_);
    if (hosts_ > 0) head.authority = moved(host_);
  }
  head.fields.reserve(fields_.size());
  for (const FieldSpan& field : fields_) {
    head.fields.push_back({moved(field.name), moved(field.value)});
  }
}

void HeadScan::StartOver() {
  constexpr size_t kKeptFields = 64;
  bytes_ = {};
  piece_ = Chunk();
  std::string().swap(partial_);
  begin_ = line_ = searched_ = end_ = 0;
  empty_lines_ = 0;
  first_line_read_ = false;
  method_ = {};
  status_ = 0;
  version_ = Version::kHttp11;
  fields_.clear();
  if (fields_.capacity() > kKeptFields) fields_.shrink_to_fit();
  target_ = host_ = {};
  length_ = 0;
  hosts_ = lengths_ = encodings_ = 0;
  chunked_ = close_ = continue_ = expectation_ = false;
}

}  // namespace relay
