// SPDX-License-Identifier: MIT
// Index and values. With json_text.cc the only file that sees the JSON library (simdjson), of
// which only the UTF-8 check is wanted.
#include "core/base/json.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "core/base/json_scan.h"

namespace relay {
namespace {

// Of a request's body; one allocation where there are no more.
constexpr size_t kUsualFields = 16;

// Among so few, comparing each with each is quicker than sorting.
constexpr size_t kFewFields = 24;

std::unexpected<Error> Malformed(size_t offset, std::string_view what) {
  std::string text = "not valid JSON at byte " + std::to_string(offset) + ": ";
  text += what;
  return Fail(Party::kClient, Fault::kMalformed, std::move(text));
}

uint32_t HexValue(std::string_view digits) {
  uint32_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  return value;
}

void AppendUtf8(std::string& out, uint32_t code) {
  auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6);
    put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3f));
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  }
}

// The escape at the front of `rest`, which is then behind it. Strings of the form \ud83d\ude00 are
// one sign; half of such a pair is none, and becomes U+FFFD.
void AppendEscape(std::string& out, std::string_view& rest) {
  constexpr uint32_t kReplacement = 0xfffd;
  char c = rest[1];
  if (c != 'u') {
    static constexpr std::string_view kNames = "bfnrt";
    static constexpr std::string_view kBytes = "\b\f\n\r\t";
    size_t which = kNames.find(c);
    out.push_back(which == std::string_view::npos ? c : kBytes[which]);
    rest.remove_prefix(2);
    return;
  }
  uint32_t code = HexValue(rest.substr(2, 4));
  rest.remove_prefix(6);
  if (code >= 0xd800 && code < 0xdc00 && rest.starts_with("\\u")) {
    uint32_t low = HexValue(rest.substr(2, 4));
    if (low >= 0xdc00 && low < 0xe000) {
      rest.remove_prefix(6);
      AppendUtf8(out, 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
      return;
    }
  }
  AppendUtf8(out, code >= 0xd800 && code < 0xe000 ? kReplacement : code);
}

// `quoted` is a checked string with its quotes.
std::string Unescape(std::string_view quoted) {
  std::string_view rest = quoted.substr(1, quoted.size() - 2);
  std::string out;
  out.reserve(rest.size());
  while (!rest.empty()) {
    size_t plain = std::min(rest.find('\\'), rest.size());
    out.append(rest.substr(0, plain));
    rest.remove_prefix(plain);
    if (!rest.empty()) AppendEscape(out, rest);
  }
  return out;
}

std::string_view KeyText(std::string_view text, const JsonField& field) {
  return text.substr(field.key_begin + 1, field.key_end - field.key_begin - 2);
}

// A number that equal names share.
uint64_t MarkOf(std::string_view name) {
  if (name.empty()) return 0;
  auto byte = [&](size_t at) { return static_cast<unsigned char>(name[at]); };
  return name.size() * 7 + byte(0) * 3U + byte(name.size() / 2) * 5U + byte(name.size() - 1);
}

// The place of the second of two fields with one name.
std::optional<size_t> FindTwin(const JsonIndex& index) {
  std::span<const JsonField> fields = index.fields();
  // Names whose marks all differ have no twin, which is so for nearly all objects.
  bool escaped = false;
  bool differ = true;
  uint64_t marks = 0;
  for (const JsonField& field : fields) {
    std::string_view key = KeyText(index.text(), field);
    uint64_t mark = uint64_t{1} << (MarkOf(key) % 64);
    differ = differ && (marks & mark) == 0;
    marks |= mark;
    escaped = escaped || field.key_escaped;
  }
  if (differ && !escaped) return std::nullopt;
  if (!escaped && fields.size() <= kFewFields) {
    for (size_t i = 1; i < fields.size(); ++i) {
      std::string_view key = KeyText(index.text(), fields[i]);
      for (size_t j = 0; j < i; ++j) {
        if (KeyText(index.text(), fields[j]) == key) return fields[i].key_begin;
      }
    }
    return std::nullopt;
  }
  std::vector<std::pair<std::string, size_t>> keys;
  keys.reserve(fields.size());
  for (const JsonField& field : fields) keys.emplace_back(index.Key(field), field.key_begin);
  std::sort(keys.begin(), keys.end());
  auto twin = std::adjacent_find(keys.begin(), keys.end(),
                                 [](const auto& a, const auto& b) { return a.first == b.first; });
  if (twin == keys.end()) return std::nullopt;
  return std::next(twin)->second;
}

}  // namespace

std::optional<std::string> JsonValue::String() const {
  if (kind != JsonKind::kString) return std::nullopt;
  return Unescape(raw);
}

std::optional<bool> JsonValue::Bool() const {
  if (kind != JsonKind::kBool) return std::nullopt;
  return raw.front() == 't';
}

std::optional<int64_t> JsonValue::Int() const {
  if (kind != JsonKind::kNumber) return std::nullopt;
  int64_t number = 0;
  auto [rest, fault] = std::from_chars(raw.data(), raw.data() + raw.size(), number);
  if (fault != std::errc() || rest != raw.data() + raw.size()) return std::nullopt;
  return number;
}

std::optional<std::string_view> JsonValue::Number() const {
  if (kind != JsonKind::kNumber) return std::nullopt;
  return raw;
}

bool JsonValue::Equals(std::string_view text) const {
  if (kind != JsonKind::kString) return false;
  if (raw.find('\\') == std::string_view::npos) return raw.substr(1, raw.size() - 2) == text;
  return Unescape(raw) == text;
}

Result<JsonIndex> JsonIndex::Parse(std::string_view text) {
  if (text.size() >= std::numeric_limits<uint32_t>::max()) return Malformed(0, "too large");
  if (!simdjson::validate_utf8(text.data(), text.size())) {
    return Fail(Party::kClient, Fault::kMalformed, "not valid JSON: the text is not UTF-8");
  }
  JsonScan scan(text);
  scan.SkipSpace();
  if (scan.Peek() != '{') return Malformed(scan.offset(), "expected an object");
  JsonIndex index;
  index.text_ = text;
  index.begin_ = scan.offset();
  index.fields_.reserve(kUsualFields);
  if (!scan.Value(&index.fields_)) return Malformed(scan.offset(), scan.error());
  index.end_ = scan.offset();
  scan.SkipSpace();
  if (!scan.AtEnd()) return Malformed(scan.offset(), "bytes behind the end");
  if (auto twin = FindTwin(index)) return Malformed(*twin, "a field given twice");
  return index;
}

Result<JsonIndex> JsonIndex::Object(const JsonValue& value) {
  if (!value.Is(JsonKind::kObject)) return Malformed(value.offset, "expected an object");
  JsonIndex index;
  // The outermost text up to this value's end: what is behind it is of no interest here.
  index.text_ = {value.raw.data() - value.offset, value.offset + value.raw.size()};
  index.begin_ = value.offset;
  index.end_ = index.text_.size();
  JsonScan scan(index.text_, value.offset);
  index.fields_.reserve(kUsualFields);
  if (!scan.Value(&index.fields_)) return Malformed(scan.offset(), scan.error());
  if (auto twin = FindTwin(index)) return Malformed(*twin, "a field given twice");
  return index;
}

std::string JsonIndex::Key(const JsonField& field) const {
  return Unescape(text_.substr(field.key_begin, field.key_end - field.key_begin));
}

JsonValue JsonIndex::Value(const JsonField& field) const {
  return {field.kind, text_.substr(field.value_begin, field.value_end - field.value_begin),
          field.value_begin};
}

const JsonField* JsonIndex::FindField(std::string_view name) const {
  for (const JsonField& field : fields_) {
    if (field.key_escaped ? Key(field) == name : KeyText(text_, field) == name) return &field;
  }
  return nullptr;
}

JsonValue JsonIndex::Find(std::string_view name) const {
  const JsonField* field = FindField(name);
  return field == nullptr ? JsonValue() : Value(*field);
}

Result<JsonValue> JsonIndex::Path(std::initializer_list<std::string_view> names) const {
  JsonIndex inner;
  const JsonIndex* object = this;
  JsonValue value;
  for (auto name = names.begin(); name != names.end(); ++name) {
    if (name != names.begin()) {
      if (!value.Is(JsonKind::kObject)) return JsonValue();
      Result<JsonIndex> next = Object(value);
      if (!next) return std::unexpected(next.error());
      inner = std::move(*next);
      object = &inner;
    }
    value = object->Find(*name);
  }
  return value;
}

JsonArray::JsonArray(const JsonValue& value) {
  if (!value.Is(JsonKind::kArray)) return;
  array_ = value;
  at_ = 1;
}

JsonValue JsonArray::Next() {
  if (array_.raw.empty()) return {};
  JsonScan scan(array_.raw, at_);
  scan.SkipSpace();
  if (scan.Peek() == ',') {
    scan.Step();
    scan.SkipSpace();
  }
  if (scan.Peek() == ']' || scan.AtEnd()) return {};
  size_t begin = scan.offset();
  if (!scan.Value(nullptr)) return {};
  at_ = scan.offset();
  return {scan.kind(), array_.raw.substr(begin, at_ - begin), array_.offset + begin};
}

}  // namespace relay
