// SPDX-License-Identifier: MIT
// Texts of our own: strings, JsonText.
#include <simdjson.h>

#include <charconv>
#include <cmath>

#include "core/base/json.h"
#include "core/base/text.h"

namespace relay {
namespace {

bool IsContinuation(char c) {
  return (static_cast<unsigned char>(c) & 0xc0) == 0x80;
}

// The length of the UTF-8 sequence at the front, 0 where there is none (Unicode 15, table 3-7).
size_t Utf8Length(std::string_view text) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return 1;
  size_t length = byte(0) >= 0xf0 ? 4 : byte(0) >= 0xe0 ? 3 : 2;
  if (byte(0) < 0xc2 || byte(0) > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if (!IsContinuation(text[i])) return 0;
  }
  bool overlong = (byte(0) == 0xe0 && byte(1) < 0xa0) || (byte(0) == 0xf0 && byte(1) < 0x90);
  bool outside = (byte(0) == 0xed && byte(1) > 0x9f) || (byte(0) == 0xf4 && byte(1) > 0x8f);
  return overlong || outside ? 0 : length;
}

std::string Repair(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    size_t length = Utf8Length(text);
    out.append(length == 0 ? std::string_view("\xef\xbf\xbd") : text.substr(0, length));
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

bool NeedsEscape(char c) {
  return c == '"' || c == '\\' || c == 0x7f || static_cast<unsigned char>(c) < 0x20;
}

// Whether it stands between quotes as it is. Without a branch inside: vector instructions.
bool IsPlain(std::string_view text) {
  unsigned odd = 0;
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    odd |= static_cast<unsigned>(byte < 0x20) | static_cast<unsigned>(byte >= 0x7f) |
           static_cast<unsigned>(byte == '"') | static_cast<unsigned>(byte == '\\');
  }
  return odd == 0;
}

void AppendEscaped(std::string& out, char c) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\b': out += "\\b"; return;
    case '\f': out += "\\f"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default: break;
  }
  auto byte = static_cast<unsigned char>(c);
  out += "\\u00";
  out.push_back(kHex[byte >> 4]);
  out.push_back(kHex[byte & 0xf]);
}

}  // namespace

void AppendJsonString(std::string& out, std::string_view text) {
  if (IsPlain(text)) {
    AppendFilled(out, text.size() + 2, [&](char* at) { Put(Put(Put(at, "\""), text), "\""); });
    return;
  }
  std::string repaired;
  if (!simdjson::validate_utf8(text.data(), text.size())) {
    repaired = Repair(text);
    text = repaired;
  }
  out.push_back('"');
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!NeedsEscape(text[i])) continue;
    out.append(text.substr(begin, i - begin));
    AppendEscaped(out, text[i]);
    begin = i + 1;
  }
  out.append(text.substr(begin));
  out.push_back('"');
}

std::string JsonString(std::string_view text) {
  std::string out;
  AppendJsonString(out, text);
  return out;
}

void JsonText::Separate() {
  if (comma_) text_.push_back(',');
  comma_ = true;
}

JsonText& JsonText::BeginObject() {
  Separate();
  text_.push_back('{');
  comma_ = false;
  return *this;
}

JsonText& JsonText::EndObject() {
  text_.push_back('}');
  comma_ = true;
  return *this;
}

JsonText& JsonText::BeginArray() {
  Separate();
  text_.push_back('[');
  comma_ = false;
  return *this;
}

JsonText& JsonText::EndArray() {
  text_.push_back(']');
  comma_ = true;
  return *this;
}

JsonText& JsonText::Key(std::string_view name) {
  String(name);
  text_.push_back(':');
  comma_ = false;
  return *this;
}

JsonText& JsonText::String(std::string_view text) {
  Separate();
  AppendJsonString(text_, text);
  return *this;
}

JsonText& JsonText::Int(int64_t number) {
  return Raw(std::to_string(number));
}

JsonText& JsonText::Double(double number) {
  if (!std::isfinite(number)) return Null();
  char digits[32];  // the longest shortest form has 24
  char* end = std::to_chars(digits, digits + sizeof(digits), number).ptr;
  return Raw({digits, static_cast<size_t>(end - digits)});
}

JsonText& JsonText::Bool(bool flag) {
  return Raw(flag ? "true" : "false");
}

JsonText& JsonText::Null() {
  return Raw("null");
}

JsonText& JsonText::Raw(std::string_view json) {
  Separate();
  text_ += json;
  return *this;
}

}  // namespace relay
