// SPDX-License-Identifier: MIT
#include "core/config/texts.h"

#include <algorithm>
#include <array>
#include <string>

#include "core/base/network.h"
#include "core/base/text.h"
#include "core/base/zone.h"
#include "core/config/units.h"

namespace relay {
namespace {

bool IsLowerAlnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool IsAlnum(char c) {
  return IsLowerAlnum(c) || (c >= 'A' && c <= 'Z');
}

bool IsControl(char c) {
  auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= 64 && IsLowerAlnum(text[0]) &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return IsLowerAlnum(c) || c == '-' || c == '_' || c == '.'; });
}

std::string_view TagOf(std::string_view bound) {
  constexpr std::string_view kTag = "tag:";
  return bound.starts_with(kTag) ? bound.substr(kTag.size()) : std::string_view();
}

bool IsBound(std::string_view text) {
  std::string_view tag = TagOf(text);
  return IsName(tag.empty() ? text : tag);
}

bool IsPlainPath(std::string_view text) {
  if (!text.starts_with('/') || text.find("//") != text.npos) return false;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('/', at + 1), text.size());
    std::string_view segment = text.substr(at + 1, end - at - 1);
    if (segment == "." || segment == "..") return false;
    at = end;
  }
  return std::all_of(text.begin(), text.end(), [](char c) {
    return IsAlnum(c) || std::string_view("/-._~!$&'()*+,;=:@").find(c) != std::string_view::npos;
  });
}

bool IsPrefix(std::string_view text) {
  return text == "/" || (IsPlainPath(text) && !text.ends_with('/'));
}

bool IsTarget(std::string_view text) {
  return text.starts_with('/') && IsPrintable(text) && text.find('#') == text.npos;
}

bool IsNoPlaceholder(std::string_view text) {
  std::string lower = LowerOf(text);
  for (char& c : lower) {
    if (c == '_' || c == ' ') c = '-';
  }
  constexpr std::array kBeginnings = {"your-",      "change-me",   "changeme", "change-this",
                                      "replace-me", "placeholder", "<"};
  return std::none_of(kBeginnings.begin(), kBeginnings.end(),
                      [&](const char* beginning) { return lower.starts_with(beginning); });
}

bool IsRelayKey(std::string_view text) {
  return text.size() >= 10 && text.size() <= 512 && IsPrintable(text);
}

bool IsCredential(std::string_view text) {
  return !text.empty() && text.size() <= 4096 && IsPrintable(text);
}

bool IsKeyPrefix(std::string_view text) {
  return !text.empty() && text.size() <= 16 && std::all_of(text.begin(), text.end(), [](char c) {
    return IsAlnum(c) || c == '-' || c == '_';
  });
}

bool IsEncryptionKey(std::string_view text) {
  return text.size() >= 32 && text.size() <= 1024;
}

bool IsSessionKey(std::string_view text) {
  return text.size() >= 16 && text.size() <= 1024;
}

bool IsPassword(std::string_view text) {
  return text.size() >= 8 && text.size() <= 1024 &&
         std::none_of(text.begin(), text.end(), IsControl);
}

bool IsUserName(std::string_view text) {
  return !text.empty() && text.size() <= 64 && IsPrintable(text);
}

bool IsTimeZone(std::string_view text) {
  return !text.empty() && text.size() <= 64 && text[0] != '/' &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return IsAlnum(c) || c == '/' || c == '_' || c == '-' || c == '+';
         });
}

bool IsModelGlob(std::string_view text) {
  return !text.empty() && text.size() <= 200 && IsPrintable(text);
}

bool IsNetwork(std::string_view text) {
  return Network::Parse(text).has_value();
}

bool IsDate(std::string_view text) {
  return ParseDay(text).has_value();
}

bool IsClientGlob(std::string_view text) {
  return !text.empty() && text.size() <= 200 && text[0] != ' ' && text.back() != ' ' &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

bool IsFailoverCause(std::string_view text) {
  if (text == "connect" || text == "reset" || text == "4xx" || text == "5xx") return true;
  auto status = ParseInteger(text);
  return status && *status >= 400 && *status <= 599;
}

bool IsErrorStatus(std::string_view text) {
  if (text == "3xx" || text == "4xx" || text == "5xx") return true;
  auto status = ParseInteger(text);
  return status && *status >= 300 && *status <= 599;
}

bool IsHeaderValue(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return c != '\t' && IsControl(c); });
}

}  // namespace relay
