// SPDX-License-Identifier: MIT
#include "core/http/http1_syntax.h"

#include <array>

namespace relay {
namespace {

// The largest length that every reader can hold in a signed number.
constexpr uint64_t kMostLength = (uint64_t{1} << 63) - 1;

constexpr std::array<bool, 256> MakeTable(std::string_view marks) {
  std::array<bool, 256> table{};
  for (unsigned char c = '0'; c <= '9'; ++c) table[c] = true;
  for (unsigned char c = 'a'; c <= 'z'; ++c) table[c] = true;
  for (unsigned char c = 'A'; c <= 'Z'; ++c) table[c] = true;
  for (char c : marks) table[static_cast<unsigned char>(c)] = true;
  return table;
}

constexpr std::array<bool, 256> kTokenBytes = MakeTable("!#$%&'*+-.^_`|~");
constexpr std::array<bool, 256> kHostBytes = MakeTable("-._~%");

size_t SpanOfTable(std::string_view text, const std::array<bool, 256>& table) {
  size_t n = 0;
  while (n < text.size() && table[static_cast<unsigned char>(text[n])]) ++n;
  return n;
}

constexpr size_t kStep = 16;

// In so many bytes. Without a branch inside, so that the compiler makes vector instructions of it.
bool HasControl(const unsigned char* bytes) {
  unsigned char found = 0;
  for (size_t i = 0; i < kStep; ++i) {
    unsigned char c = bytes[i];
    found = static_cast<unsigned char>(found | static_cast<unsigned char>(c < 0x20) |
                                       static_cast<unsigned char>(c == 0x7f));
  }
  return found != 0;
}

}  // namespace

std::string_view TrimBlanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool ReadDecimal(std::string_view digits, uint64_t& number) {
  if (digits.empty()) return false;
  number = 0;
  for (char c : digits) {
    if (!IsDigit(c)) return false;
    auto digit = static_cast<uint64_t>(c - '0');
    if (number > (kMostLength - digit) / 10) return false;
    number = number * 10 + digit;
  }
  return true;
}

size_t TokenLength(std::string_view text) {
  return SpanOfTable(text, kTokenBytes);
}

bool IsToken(std::string_view text) {
  return !text.empty() && TokenLength(text) == text.size();
}

size_t FindControl(std::string_view text, size_t from) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  size_t at = from;
  while (at + kStep <= text.size() && !HasControl(bytes + at)) at += kStep;
  // The last step may look at some bytes once more.
  bool rest = at < text.size() && at + kStep > text.size() && text.size() >= kStep;
  if (rest && !HasControl(bytes + text.size() - kStep)) return text.size();
  while (at < text.size() && bytes[at] >= 0x20 && bytes[at] != 0x7f) ++at;
  return at;
}

bool IsHostAndPort(std::string_view text) {
  size_t host = 0;
  if (text.starts_with('[')) {
    size_t close = text.find(']');
    if (close == std::string_view::npos || close < 3) return false;
    for (char c : text.substr(1, close - 1)) {
      bool hex = IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
      if (!hex && c != ':' && c != '.') return false;
    }
    host = close + 1;
  } else {
    host = SpanOfTable(text, kHostBytes);
    if (host == 0) return false;
  }
  std::string_view port = text.substr(host);
  if (port.empty()) return true;
  port.remove_prefix(1);
  uint64_t number = 0;
  return text[host] == ':' && port.size() <= 5 && ReadDecimal(port, number) && number <= 65535;
}

bool IsFieldValue(std::string_view value) {
  for (size_t at = FindControl(value, 0); at < value.size(); at = FindControl(value, at + 1)) {
    if (value[at] != '\t') return false;
  }
  return true;
}

}  // namespace relay
