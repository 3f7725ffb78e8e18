// SPDX-License-Identifier: MIT
#include "core/base/percent.h"

namespace relay {
namespace {

constexpr size_t kEscape = 3;

bool IsUnreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("-._~").contains(c);
}

}  // namespace

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<char> EscapeAt(std::string_view text, size_t at) {
  if (at + kEscape > text.size() || text[at] != '%') return std::nullopt;
  int high = HexDigit(text[at + 1]);
  int low = HexDigit(text[at + 2]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<char>(high * 16 + low);
}

std::string PercentDecode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    std::optional<char> byte = EscapeAt(text, at);
    out += byte.value_or(text[at]);
    at += byte ? kEscape : 1;
  }
  return out;
}

std::optional<std::string> PercentDecodeStrictly(std::string_view text) {
  for (size_t at = text.find('%'); at != std::string_view::npos; at = text.find('%', at + 1)) {
    if (!EscapeAt(text, at)) return std::nullopt;
  }
  return PercentDecode(text);
}

std::string PercentEncode(std::string_view text, std::string_view kept) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    if (IsUnreserved(c) || kept.contains(c)) {
      out += c;
      continue;
    }
    auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

}  // namespace relay
