// SPDX-License-Identifier: MIT
#include "tests/fuzz/reference_http1.h"

#include <algorithm>
#include <cctype>
#include <optional>

namespace relay {
namespace {

enum class Step { kDone, kOpen, kRefused };

constexpr std::string_view kAlnum =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const std::string kTchar = std::string(kAlnum) + "!#$%&'*+-.^_`|~";
const std::string kHost = std::string(kAlnum) + "-._~%";

bool Only(std::string_view text, std::string_view allowed) {
  return !text.empty() && text.find_first_not_of(allowed) == std::string_view::npos;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

std::string_view Trim(std::string_view text) {
  size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// Without overflow, below 2^63.
std::optional<uint64_t> Number(std::string_view digits) {
  if (!Only(digits, "0123456789")) return std::nullopt;
  digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size()));
  if (digits.size() > 19) return std::nullopt;
  uint64_t number = digits.empty() ? 0 : std::stoull(std::string(digits));
  if (number > INT64_MAX) return std::nullopt;
  return number;
}

bool IsHost(std::string_view text) {
  std::string_view port;
  if (text.starts_with('[')) {
    size_t close = text.find(']');
    if (close == std::string_view::npos || close < 3) return false;
    if (!Only(text.substr(1, close - 1), "0123456789abcdefABCDEF:.")) return false;
    port = text.substr(close + 1);
    if (!port.empty() && port.front() != ':') return false;
  } else {
    size_t colon = std::min(text.find(':'), text.size());
    if (!Only(text.substr(0, colon), kHost)) return false;
    port = text.substr(colon);
  }
  if (port.empty()) return true;
  std::optional<uint64_t> number = Number(port.substr(1));
  return number && port.size() <= 6 && *number <= 65535;
}

bool Frames(std::string_view name) {
  std::string field = Lower(name);
  return field == "content-length" || field == "transfer-encoding";
}

struct Framing {
  bool chunked = false;
  std::optional<uint64_t> length;
};

// Reads one text from its front.
class Reader {
 public:
  Reader(std::string_view rest, const ReferenceBounds& bounds) : rest_(rest), bounds_(bounds) {}

  std::string_view rest() const { return rest_; }
  bool doubtful = false;

  // A line without control bytes but tabs, that ends in CRLF.
  Step Line(std::string_view& line) {
    for (size_t i = 0; i < rest_.size(); ++i) {
      auto byte = static_cast<unsigned char>(rest_[i]);
      if (byte == '\t' || (byte >= 0x20 && byte != 0x7f)) continue;
      if (byte != '\r') return Step::kRefused;
      if (i + 1 == rest_.size()) return Step::kOpen;
      if (rest_[i + 1] != '\n') return Step::kRefused;
      line = rest_.substr(0, i);
      rest_.remove_prefix(i + 2);
      return Step::kDone;
    }
    return Step::kOpen;
  }

  // First line and fields.
  Step Head(int empty_lines, std::string_view& first, ReferenceMessage& message) {
    size_t begin = 0;
    for (int empty = 0;; ++empty) {
      begin = rest_.size();
      Step step = Line(first);
      if (step != Step::kDone) return step;
      if (!first.empty()) break;
      if (empty == empty_lines) return Step::kRefused;
    }
    if (first.size() > bounds_.line) return Step::kRefused;
    for (;;) {
      std::string_view line;
      Step step = Line(line);
      if (step != Step::kDone) return step;
      if (begin - rest_.size() > bounds_.head) return Step::kRefused;
      if (line.empty()) return Step::kDone;
      size_t colon = line.find(':');
      if (colon == std::string_view::npos || !Only(line.substr(0, colon), kTchar)) {
        return Step::kRefused;
      }
      // Valid, and read otherwise by many.
      if (line.substr(colon).find('\t') != std::string_view::npos && Frames(line.substr(0, colon)))
        doubtful = true;
      message.fields.emplace_back(line.substr(0, colon), Trim(line.substr(colon + 1)));
      if (message.fields.size() > bounds_.fields) return Step::kRefused;
    }
  }

  Step Chunked(std::string& body) {
    size_t extensions = 0;
    size_t announced = 0;
    for (;;) {
      std::string_view line;
      Step step = Line(line);
      // A fault may be seen before the line ends, but then not earlier than in the whole line.
      if (step != Step::kDone) return step;
      std::string_view digits = line.substr(0, line.find(';'));
      std::string_view extension = line.substr(digits.size());
      extensions += extension.size();
      if (extension.size() > 1025 || extensions > 16384) return Step::kRefused;
      if (digits.size() > 16 || !Only(digits, "0123456789abcdefABCDEF")) return Step::kRefused;
      uint64_t size = std::stoull(std::string(digits), nullptr, 16);
      if (size == 0) return Trailers();
      if (size > bounds_.body - announced) return Step::kRefused;
      announced += size;
      std::string_view data = rest_.substr(0, size);
      body += data;
      rest_.remove_prefix(data.size());
      if (data.size() < size) return Step::kOpen;
      if (rest_.substr(0, 2) != std::string_view("\r\n").substr(0, rest_.size())) {
        return Step::kRefused;
      }
      if (rest_.size() < 2) return Step::kOpen;
      rest_.remove_prefix(2);
    }
  }

  Step Body(const Framing& framing, ReferenceMessage& message) {
    if (framing.chunked) return Chunked(message.body);
    uint64_t length = framing.length.value_or(0);
    if (length > bounds_.body) return Step::kRefused;
    message.body = rest_.substr(0, length);
    rest_.remove_prefix(message.body.size());
    return message.body.size() == length ? Step::kDone : Step::kOpen;
  }

 private:
  Step Trailers() {
    size_t begin = rest_.size();
    for (;;) {
      std::string_view line;
      Step step = Line(line);
      if (step != Step::kDone) return step;
      if (begin - rest_.size() > 8192) return Step::kRefused;
      if (line.empty()) return Step::kDone;
      size_t colon = line.find(':');
      if (colon == std::string_view::npos || !Only(line.substr(0, colon), kTchar)) {
        return Step::kRefused;
      }
    }
  }

  std::string_view rest_;
  const ReferenceBounds& bounds_;
};

// RFC 9112 §6.3 without its mercy (R2).
bool Frame(ReferenceMessage& message, Framing& framing) {
  int lengths = 0;
  int encodings = 0;
  for (const auto& [name, value] : message.fields) {
    std::string field = Lower(name);
    if (field == "content-length") {
      ++lengths;
      framing.length = Number(value);
      if (!framing.length) return false;
    } else if (field == "transfer-encoding") {
      ++encodings;
      framing.chunked = true;
      if (Lower(value) != "chunked") return false;
    } else if (field == "connection") {
      std::string list = "," + Lower(value) + ",";
      std::erase_if(list, [](char c) { return c == ' ' || c == '\t'; });
      if (list.find(",close,") != std::string::npos) message.close = true;
    }
  }
  if (message.http10) message.close = true;
  return lengths + encodings <= 1 && !(framing.chunked && message.http10);
}

bool FirstLine(std::string_view line, ReferenceMessage& message) {
  size_t one = line.find(' ');
  size_t two = line.rfind(' ');
  if (one == std::string_view::npos || one == two) return false;
  std::string_view version = line.substr(two + 1);
  message.method = line.substr(0, one);
  message.target = line.substr(one + 1, two - one - 1);
  message.http10 = version == "HTTP/1.0";
  if (!message.http10 && version != "HTTP/1.1") return false;
  for (char c : message.target) {
    if (c <= ' ' || c > '~' || c == '#') return false;
  }
  static constexpr std::string_view kServed[] = {"GET",    "HEAD",    "POST", "PUT",
                                                 "DELETE", "OPTIONS", "PATCH"};
  return std::count(std::begin(kServed), std::end(kServed), message.method) == 1;
}

// Host, the target's form, and what may be expected.
bool Address(ReferenceMessage& message) {
  int hosts = 0;
  for (const auto& [name, value] : message.fields) {
    std::string field = Lower(name);
    if (field == "expect" && !message.http10 && Lower(value) != "100-continue") return false;
    if (field != "host") continue;
    ++hosts;
    message.authority = value;
    if (!IsHost(value)) return false;
  }
  if (hosts > 1 || (hosts == 0 && !message.http10)) return false;
  if (message.target.starts_with('/')) return true;
  size_t scheme = message.target.find("://");
  if (scheme == std::string::npos) return false;
  std::string name = Lower(message.target.substr(0, scheme));
  if (name != "http" && name != "https") return false;
  std::string after = message.target.substr(scheme + 3);
  size_t end = std::min(after.find_first_of("/?"), after.size());
  message.authority = after.substr(0, end);
  message.target = after.substr(end);
  if (!message.target.starts_with('/')) message.target.insert(0, "/");
  return IsHost(message.authority);
}

bool StatusLine(std::string_view line, ReferenceMessage& message) {
  message.http10 = line.starts_with("HTTP/1.0 ");
  if (!message.http10 && !line.starts_with("HTTP/1.1 ")) return false;
  std::string_view digits = line.substr(9, 3);
  if (digits.size() != 3 || !Only(digits, "0123456789")) return false;
  if (line.size() > 12 && line[12] != ' ') return false;
  message.status = std::stoi(std::string(digits));
  return message.status >= 100 && message.status < 600 && message.status != 101;
}

}  // namespace

Reading ReadRequests(std::string_view bytes, const ReferenceBounds& bounds) {
  Reading reading;
  Reader reader(bytes, bounds);
  while (!reader.rest().empty()) {
    ReferenceMessage message;
    std::string_view first;
    Framing framing;
    Step step = reader.Head(8, first, message);
    if (step == Step::kDone &&
        (!FirstLine(first, message) || !Frame(message, framing) || !Address(message))) {
      step = Step::kRefused;
    }
    if (step == Step::kDone) {
      reading.messages.push_back(std::move(message));
      step = reader.Body(framing, reading.messages.back());
      reading.messages.back().complete = step == Step::kDone;
    }
    reading.refused = step == Step::kRefused;
    reading.open = step == Step::kOpen;
    reading.doubtful = reader.doubtful;
    if (step != Step::kDone || reading.messages.back().close) break;
  }
  return reading;
}

Reading ReadAnswer(std::string_view bytes, bool to_head, const ReferenceBounds& bounds) {
  constexpr int kMostInterim = 16;
  Reading reading;
  Reader reader(bytes, bounds);
  for (int interim = 0;; ++interim) {
    ReferenceMessage message;
    std::string_view first;
    Framing framing;
    Step step = reader.Head(0, first, message);
    if (step == Step::kDone && (!StatusLine(first, message) || !Frame(message, framing))) {
      step = Step::kRefused;
    }
    if (step == Step::kDone && message.status < 200) {
      if (interim < kMostInterim) continue;
      step = Step::kRefused;
    }
    if (step == Step::kDone) {
      bool none = to_head || message.status == 204 || message.status == 304;
      bool until_close = !none && !framing.chunked && !framing.length;
      if (none) framing = {};
      if (until_close) {
        message.close = true;
        framing.length = reader.rest().size();
      }
      step = reader.Body(framing, message);
      message.complete = step == Step::kDone;
      reading.messages.push_back(std::move(message));
      if (step == Step::kDone && !reader.rest().empty()) step = Step::kRefused;  // an extra answer
    }
    reading.refused = step == Step::kRefused;
    reading.open = step == Step::kOpen;
    reading.doubtful = reader.doubtful;
    return reading;
  }
}

}  // namespace relay
