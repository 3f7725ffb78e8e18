// SPDX-License-Identifier: MIT
#include "tests/fuzz/reference_json.h"

#include <algorithm>
#include <cstdint>

namespace relay {
namespace {

constexpr int kMostDepth = 64;
constexpr size_t kMostFields = 1024;

// RFC 3629: no overlong form, no surrogate, nothing over U+10FFFF.
bool IsUtf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    auto lead = static_cast<unsigned char>(text[i++]);
    if (lead < 0x80) continue;
    int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc0 || lead > 0xf7) return false;
    uint32_t code = lead & (0x3fU >> more);
    for (int k = 0; k < more; ++k) {
      if (i == text.size() || (static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return false;
      code = code << 6 | (static_cast<unsigned char>(text[i++]) & 0x3fU);
    }
    constexpr uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (code < kLeast[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
  }
  return true;
}

void PutUtf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
    return;
  }
  int more = code >= 0x10000 ? 3 : code >= 0x800 ? 2 : 1;
  constexpr uint32_t kLead[] = {0, 0xc0, 0xe0, 0xf0};
  out += static_cast<char>(kLead[more] | code >> (6 * more));
  while (more-- > 0) out += static_cast<char>(0x80 | (code >> (6 * more) & 0x3f));
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  bool Object(int depth, ReferenceObject* fields) {
    if (depth > kMostDepth || !Take('{')) return false;
    Blanks();
    if (Take('}')) return true;
    for (;;) {
      std::string name;
      Blanks();
      if (!String(&name)) return false;
      Blanks();
      if (!Take(':')) return false;
      Blanks();
      size_t begin = at_;
      if (!Value(depth)) return false;
      if (fields != nullptr) {
        fields->emplace_back(std::move(name), text_.substr(begin, at_ - begin));
        if (fields->size() > kMostFields) return false;
      }
      Blanks();
      if (Take('}')) return true;
      if (!Take(',')) return false;
    }
  }
  void Blanks() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string::npos)
      ++at_;
  }
  bool AtEnd() const { return at_ == text_.size(); }

 private:
  char Peek() const { return AtEnd() ? '\0' : text_[at_]; }
  bool Take(char c) {
    if (AtEnd() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool Word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }
  bool Value(int depth) {
    switch (Peek()) {
      case '{': return Object(depth + 1, nullptr);
      case '[': return Array(depth + 1);
      case '"': return String(nullptr);
      case 't': return Word("true");
      case 'f': return Word("false");
      case 'n': return Word("null");
      default: return Number();
    }
  }
  bool Array(int depth) {
    if (depth > kMostDepth || !Take('[')) return false;
    Blanks();
    if (Take(']')) return true;
    for (;;) {
      Blanks();
      if (!Value(depth)) return false;
      Blanks();
      if (Take(']')) return true;
      if (!Take(',')) return false;
    }
  }
  bool Digits() {
    size_t begin = at_;
    while (Peek() >= '0' && Peek() <= '9') ++at_;
    return at_ > begin;
  }
  bool Number() {
    Take('-');
    if (!Take('0') && !Digits()) return false;
    if (Take('.') && !Digits()) return false;
    if (Take('e') || Take('E')) {
      if (!Take('+')) Take('-');
      return Digits();
    }
    return true;
  }
  bool Hex4(uint32_t& code) {
    code = 0;
    for (int i = 0; i < 4; ++i) {
      std::string_view digits = "0123456789abcdef";
      char c = Peek();
      if (c >= 'A' && c <= 'F') c = static_cast<char>(c + 32);
      size_t value = AtEnd() ? std::string_view::npos : digits.find(c);
      if (value == std::string_view::npos) return false;
      code = code * 16 + static_cast<uint32_t>(value);
      ++at_;
    }
    return true;
  }
  bool Escape(std::string& out) {
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kBytes = "\"\\/\b\f\n\r\t";
    size_t which = AtEnd() ? std::string_view::npos : kNames.find(Peek());
    if (which != std::string_view::npos) {
      ++at_;
      out += kBytes[which];
      return true;
    }
    uint32_t code = 0;
    if (!Take('u') || !Hex4(code)) return false;
    if (code >= 0xd800 && code < 0xdc00) {
      size_t behind = at_;
      uint32_t low = 0;
      if (Word("\\u") && Hex4(low) && low >= 0xdc00 && low < 0xe000) {
        PutUtf8(out, 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
        return true;
      }
      at_ = behind;
    }
    PutUtf8(out, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
    return true;
  }
  bool String(std::string* text) {
    std::string out;
    if (!Take('"')) return false;
    while (!AtEnd()) {
      char c = text_[at_++];
      if (c == '"') {
        if (text != nullptr) *text = std::move(out);
        return true;
      }
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c != '\\') {
        out += c;
      } else if (!Escape(out)) {
        return false;
      }
    }
    return false;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

std::optional<ReferenceObject> ReadJsonObject(std::string_view text) {
  ReferenceObject fields;
  Reader reader(text);
  reader.Blanks();
  if (!IsUtf8(text) || !reader.Object(1, &fields)) return std::nullopt;
  reader.Blanks();
  if (!reader.AtEnd()) return std::nullopt;
  std::vector<std::string> names;
  for (const auto& [name, value] : fields) names.push_back(name);
  std::sort(names.begin(), names.end());
  if (std::adjacent_find(names.begin(), names.end()) != names.end()) return std::nullopt;
  return fields;
}

}  // namespace relay
