// SPDX-License-Identifier: MIT
// The one pass over a JSON text, for the files of json.h: checks one value strictly by RFC 8259
// and notes the fields of the outermost object. UTF-8 is checked apart, over the whole text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/base/json.h"

namespace relay {

// Where a string ends, or what is wrong with it there.
struct StringEnd {
  const char* at = nullptr;     // the closing quote, or the fault
  const char* error = nullptr;  // for people; null if there is none
  bool escaped = false;         // a backslash stands before it
};
// `p` is behind the opening quote. Reads nothing from `end` on.
StringEnd FindStringEnd(const char* p, const char* end);

class JsonScan {
 public:
  // Scans within `text`, from `at` on.
  explicit JsonScan(std::string_view text, size_t at = 0)
      : base_(text.data()), at_(base_ + at), end_(base_ + text.size()) {}

  void SkipSpace();
  // One value, beginning where the scan stands; notes the fields where it is an object and
  // `fields` is given. False: error() and offset() say what and where.
  bool Value(std::vector<JsonField>* fields);
  bool AtEnd() const { return at_ == end_; }
  char Peek() const { return at_ == end_ ? '\0' : *at_; }
  void Step() { ++at_; }
  size_t offset() const { return static_cast<size_t>(at_ - base_); }
  JsonKind kind() const { return kind_; }  // of the value scanned last
  const char* error() const { return error_; }

 private:
  bool Key(std::vector<JsonField>* fields);
  bool Scalar(char first);
  bool String();
  bool Number();
  bool Word(std::string_view word);
  bool AfterValue(std::vector<JsonField>* fields);
  bool Wrong(const char* what) {
    error_ = what;
    return false;
  }

  bool in_object() const { return (objects_ & 1) != 0; }
  void Open(bool object) {
    objects_ = objects_ << 1 | (object ? 1U : 0U);
    ++depth_;
  }
  void Close() {
    objects_ >>= 1;
    --depth_;
  }

  const char* base_;
  const char* at_;
  const char* end_;
  const char* error_ = nullptr;
  uint64_t objects_ = 0;  // a bit for each open container, the innermost lowest: 1 is an object
  int depth_ = 0;
  JsonKind kind_ = JsonKind::kAbsent;
  bool escaped_ = false;  // the string scanned last holds a backslash
};

}  // namespace relay
