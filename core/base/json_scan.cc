// SPDX-License-Identifier: MIT
#include "core/base/json_scan.h"

#include <bit>
#include <cstring>

namespace relay {
namespace {

// Blocks of a string are looked at in one go, as vectors of the compiler: what a machine has for
// them is the compiler's business, but for one choice at run time below.
using Bytes = unsigned char __attribute__((ext_vector_type(64)));
using Flags = bool __attribute__((ext_vector_type(64)));
using ShortBytes = unsigned char __attribute__((ext_vector_type(16)));
using ShortFlags = bool __attribute__((ext_vector_type(16)));
constexpr ptrdiff_t kBlock = sizeof(Bytes);
constexpr ptrdiff_t kShortBlock = sizeof(ShortBytes);

bool IsHex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

bool IsSpace(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

// A bit for each byte that differs from 0, the first lowest.
#define RELAY_BITS(flags) std::bit_cast<uint64_t>(__builtin_convertvector((flags), Flags))

// Which bytes stand behind a backslash that is not itself behind one. `carry`: the first does, or
// the one behind the block will. A run of backslashes escapes every second byte from its start
// on; adding the run's start to it carries a bit out of its end, which tells runs that begin at
// odd places from others.
[[gnu::always_inline]] inline uint64_t Escaped(uint64_t backslashes, uint64_t& carry) {
  constexpr uint64_t kEven = 0x5555555555555555;
  backslashes &= ~carry;
  uint64_t follow = backslashes << 1 | carry;
  uint64_t odd_starts = backslashes & ~kEven & ~follow;
  uint64_t ends;
  carry = __builtin_add_overflow(odd_starts, backslashes, &ends) ? 1 : 0;
  return (kEven ^ (ends << 1)) & follow;
}

// Looks for the end of a string from `p` on, 64 bytes at a time.
[[gnu::always_inline]] inline StringEnd FindEnd(const char* p, const char* end) {
  StringEnd result{p, nullptr, false};
  uint64_t carry = 0;
  for (;; p += kBlock) {
    Bytes bytes;
    if (end - p >= kBlock) {
      std::memcpy(&bytes, p, kBlock);
    } else {
      // Behind the text stand quotes that end the search.
      char rest[kBlock];
      std::memset(rest, '"', kBlock);
      std::memcpy(rest, p, static_cast<size_t>(end - p));
      std::memcpy(&bytes, rest, kBlock);
    }
    uint64_t backslashes = RELAY_BITS(bytes == '\\');
    uint64_t controls = RELAY_BITS(bytes < 0x20);
    uint64_t stops = RELAY_BITS(bytes == '"') | controls;
    if ((backslashes | carry) != 0) {
      uint64_t escaped = Escaped(backslashes, carry);
      stops = (stops & ~escaped) | controls;
      // Only what stands before the end counts.
      uint64_t before = stops == 0 ? ~uint64_t{0} : (stops & (~stops + 1)) - 1;
      escaped &= before;
      result.escaped |= (backslashes & before) != 0;
      uint64_t simple =
          RELAY_BITS((bytes == 'n') | (bytes == '"') | (bytes == '\\') | (bytes == 't') |
                     (bytes == 'r') | (bytes == '/') | (bytes == 'b') | (bytes == 'f'));
      for (uint64_t odd = escaped & ~simple; odd != 0; odd &= odd - 1) {
        const char* at = p + std::countr_zero(odd);
        if (at < end && *at == 'u' && end - at > 4 && IsHex(at[1]) && IsHex(at[2]) &&
            IsHex(at[3]) && IsHex(at[4])) {
          continue;
        }
        return {at, "an unknown escape", true};
      }
    }
    if (stops == 0 && end - p >= kBlock) continue;
    result.at = stops == 0 ? end : p + std::countr_zero(stops);
    if (result.at >= end) return {end, "a string that does not end", true};
    if (*result.at != '"') result.error = "a control byte in a string";
    return result;
  }
}

StringEnd FindEndPlain(const char* p, const char* end) {
  return FindEnd(p, end);
}

#ifdef __x86_64__
[[gnu::target("avx2,bmi,bmi2")]] StringEnd FindEndAvx2(const char* p, const char* end) {
  return FindEnd(p, end);
}

[[gnu::target("avx512f,avx512bw,avx512vl,bmi,bmi2")]] StringEnd FindEndAvx512(const char* p,
                                                                              const char* end) {
  return FindEnd(p, end);
}

auto ChooseFindEnd() {
  bool bits = __builtin_cpu_supports("bmi2") != 0;
  bool avx512 = __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512vl") != 0;
  if (bits && avx512) return FindEndAvx512;
  return bits && __builtin_cpu_supports("avx2") ? FindEndAvx2 : FindEndPlain;
}
const auto kFindEnd = ChooseFindEnd();
#else
constexpr auto kFindEnd = FindEndPlain;
#endif

}  // namespace

StringEnd FindStringEnd(const char* p, const char* end) {
  // Names and other short strings end here.
  if (end - p >= kShortBlock) {
    ShortBytes bytes;
    std::memcpy(&bytes, p, kShortBlock);
    auto stops = std::bit_cast<uint16_t>(
        __builtin_convertvector((bytes == '"') | (bytes == '\\') | (bytes < 0x20), ShortFlags));
    if (stops != 0) {
      const char* at = p + std::countr_zero(stops);
      if (*at == '"') return {at, nullptr, false};
    }
  }
  return kFindEnd(p, end);
}

void JsonScan::SkipSpace() {
  while (at_ != end_ && IsSpace(*at_)) ++at_;
}

bool JsonScan::String() {
  // At the opening quote.
  StringEnd end = FindStringEnd(at_ + 1, end_);
  at_ = end.at;
  escaped_ = end.escaped;
  if (end.error != nullptr) return Wrong(end.error);
  ++at_;
  return true;
}

bool JsonScan::Number() {
  if (Peek() == '-') ++at_;
  if (Peek() == '0') {
    ++at_;
  } else {
    if (!IsDigit(Peek())) return Wrong("expected a value");
    while (IsDigit(Peek())) ++at_;
  }
  if (Peek() == '.') {
    ++at_;
    if (!IsDigit(Peek())) return Wrong("a number without digits behind the point");
    while (IsDigit(Peek())) ++at_;
  }
  if (Peek() == 'e' || Peek() == 'E') {
    ++at_;
    if (Peek() == '+' || Peek() == '-') ++at_;
    if (!IsDigit(Peek())) return Wrong("a number without digits in its exponent");
    while (IsDigit(Peek())) ++at_;
  }
  return true;
}

bool JsonScan::Word(std::string_view word) {
  if (std::string_view(at_, static_cast<size_t>(end_ - at_)).substr(0, word.size()) != word) {
    return Wrong("expected a value");
  }
  at_ += word.size();
  return true;
}

bool JsonScan::Scalar(char first) {
  switch (first) {
    case '"': kind_ = JsonKind::kString; return String();
    case 't': kind_ = JsonKind::kBool; return Word("true");
    case 'f': kind_ = JsonKind::kBool; return Word("false");
    case 'n': kind_ = JsonKind::kNull; return Word("null");
    default: kind_ = JsonKind::kNumber; return Number();
  }
}

bool JsonScan::Key(std::vector<JsonField>* fields) {
  if (Peek() != '"') return Wrong("expected a field's name");
  JsonField field;
  field.key_begin = static_cast<uint32_t>(offset());
  if (!String()) return false;
  field.key_end = static_cast<uint32_t>(offset());
  field.key_escaped = escaped_;
  SkipSpace();
  if (Peek() != ':') return Wrong("expected ':'");
  ++at_;
  SkipSpace();
  if (fields != nullptr && depth_ == 1) {
    if (fields->size() >= JsonIndex::kMaxFields) return Wrong("too many fields");
    field.value_begin = static_cast<uint32_t>(offset());
    fields->push_back(field);
  }
  return true;
}

// Closes what ends here, up to the next member. False: the outermost value is complete, or an
// error was found.
bool JsonScan::AfterValue(std::vector<JsonField>* fields) {
  while (depth_ > 0) {
    if (depth_ == 1 && fields != nullptr && in_object()) {
      fields->back().value_end = static_cast<uint32_t>(offset());
      fields->back().kind = kind_;
    }
    SkipSpace();
    char c = Peek();
    if (c == ',') {
      ++at_;
      SkipSpace();
      return true;
    }
    if (c != (in_object() ? '}' : ']'))
      return Wrong(in_object() ? "expected ',' or '}'" : "expected ',' or ']'");
    ++at_;
    kind_ = in_object() ? JsonKind::kObject : JsonKind::kArray;
    Close();
  }
  return false;
}

bool JsonScan::Value(std::vector<JsonField>* fields) {
  while (true) {
    if (depth_ > 0 && in_object() && !Key(fields)) return false;
    char c = Peek();
    if (c == '{' || c == '[') {
      if (depth_ == JsonIndex::kMaxDepth) return Wrong("nested too deeply");
      Open(c == '{');
      ++at_;
      SkipSpace();
      if (Peek() != (c == '{' ? '}' : ']')) continue;
      ++at_;
      kind_ = c == '{' ? JsonKind::kObject : JsonKind::kArray;
      Close();
    } else if (!Scalar(c)) {
      return false;
    }
    if (!AfterValue(fields)) return error_ == nullptr;
  }
}

}  // namespace relay
