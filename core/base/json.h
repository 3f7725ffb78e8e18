// SPDX-License-Identifier: MIT
// JSON without a document tree. A text is checked whole and strictly in one pass (RFC 8259), which
// leaves the places of its top-level fields; values are read from the text when asked for, and
// edits are splices, so that what nobody meant to change does not change by a byte. Texts of our
// own are written by JsonText.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/buffer.h"
#include "core/base/error.h"

namespace relay {

enum class JsonKind : uint8_t { kAbsent, kNull, kBool, kNumber, kString, kArray, kObject };

// A value where it stands in a checked text, which must outlive it. Absent: `if (value)` is false.
struct JsonValue {
  JsonKind kind = JsonKind::kAbsent;
  std::string_view raw;  // as it stands, a string with its quotes
  size_t offset = 0;     // of `raw` in the outermost text

  explicit operator bool() const { return kind != JsonKind::kAbsent; }
  bool Is(JsonKind what) const { return kind == what; }
  // Each: nothing when the value is of another kind. A lone surrogate escape becomes U+FFFD.
  std::optional<std::string> String() const;
  std::optional<bool> Bool() const;
  // Whole numbers that fit; 1e3 and 1.0 are not whole here.
  std::optional<int64_t> Int() const;
  // A number as it was written.
  std::optional<std::string_view> Number() const;
  // True when it is a string of exactly this text, escapes resolved.
  bool Equals(std::string_view text) const;
};

// One field of an object, by places in the outermost text.
struct JsonField {
  uint32_t key_begin = 0;  // at the quote
  uint32_t key_end = 0;    // behind the quote
  uint32_t value_begin = 0;
  uint32_t value_end = 0;
  JsonKind kind = JsonKind::kAbsent;
  bool key_escaped = false;  // the key holds a backslash
};

// The fields of one object. Copies nothing of the text, which must outlive it.
class JsonIndex {
 public:
  static constexpr int kMaxDepth = 64;
  static constexpr size_t kMaxFields = 1024;  // of an object that is read

  JsonIndex() = default;
  // Checks all of `text`, whose one value must be an object, and indexes its fields. Errors
  // (kClient, kMalformed) name the offset: not JSON, bytes behind the end, deeper than 64, not
  // UTF-8, a field given twice, over kMaxFields fields, 4 GiB or more. Needs no spare bytes behind
  // `text`.
  static Result<JsonIndex> Parse(std::string_view text);
  // Indexes an object that is a value of a checked text; offsets stay those of the outermost text.
  // Errors: not an object, a field given twice, too many fields.
  static Result<JsonIndex> Object(const JsonValue& value);

  bool empty() const { return fields_.empty(); }
  // The outermost text.
  std::string_view text() const { return text_; }
  // The place of this object's braces in it.
  size_t begin() const { return begin_; }
  size_t end() const { return end_; }
  std::span<const JsonField> fields() const { return fields_; }
  std::string Key(const JsonField& field) const;  // unescaped
  JsonValue Value(const JsonField& field) const;

  const JsonField* FindField(std::string_view name) const;
  // Absent when there is no such field.
  JsonValue Find(std::string_view name) const;
  // Walks down objects: {"request", "generationConfig", "maxOutputTokens"}. Absent where a step is
  // missing or no object. Errors: as Object().
  Result<JsonValue> Path(std::initializer_list<std::string_view> names) const;

 private:
  friend class JsonScan;
  std::string_view text_;
  size_t begin_ = 0;
  size_t end_ = 0;
  std::vector<JsonField> fields_;
};

// Walks the elements of an array that is a value of a checked text.
//   for (JsonArray list(value); JsonValue item = list.Next();) ...
class JsonArray {
 public:
  // Of another kind: no elements.
  explicit JsonArray(const JsonValue& value);
  // Absent at the end.
  JsonValue Next();

 private:
  JsonValue array_;
  size_t at_ = 0;
};

// Changes of a text, kept sorted and without overlap: what is inside a range that was replaced or
// removed later or earlier goes with it. The offsets are those of the text that was indexed.
class Edits {
 public:
  // `json` becomes the value, as it is: make it with JsonText or AppendJsonString.
  void Replace(const JsonValue& value, std::string json);
  // Replaces the field's value or, if there is none, adds the field at the object's end. The last
  // of several calls for a field wins.
  void Set(const JsonIndex& object, std::string_view name, std::string json);
  // Does nothing when there is no such field.
  void Remove(const JsonIndex& object, std::string_view name);
  // Takes elements out, with their commas. `which`: a flag for each element.
  void RemoveElements(const JsonValue& array, const std::vector<bool>& which);
  // Any bytes for any others.
  void Raw(size_t at, size_t remove, std::string insert);

  bool empty() const { return raw_.empty() && objects_.empty(); }
  void Clear();
  // What a text of `size` bytes will be long.
  size_t SizeAfter(size_t size) const;
  // Appends slices of `text`, and the replacements between them.
  void Apply(const Chunk& text, Buffer& out) const;
  std::string Apply(std::string_view text) const;

 private:
  struct Splice {
    size_t at = 0;
    size_t remove = 0;
    std::string insert;
  };
  struct Member {  // of an object with fields to add or remove
    size_t begin = 0;
    size_t end = 0;
    bool removed = false;
  };
  struct Addition {
    std::string name;
    std::string json;
  };
  struct Object {
    size_t begin = 0;  // behind its brace
    std::vector<Member> members;
    std::vector<Addition> additions;
  };

  Object& Touch(const JsonIndex& object);
  static void ResolveObject(const Object& object, std::vector<Splice>& to);
  std::vector<Splice> Resolve() const;

  std::vector<Splice> raw_;
  std::vector<Object> objects_;
};

// Appends `text` as a JSON string with its quotes. UTF-8 stays; bytes that are not UTF-8 become
// U+FFFD.
void AppendJsonString(std::string& out, std::string_view text);
std::string JsonString(std::string_view text);

// Writes a small text: JsonText().BeginObject().Field("type", "error").EndObject().Take().
// The caller keeps begin and end in balance; commas are its own.
class JsonText {
 public:
  JsonText& BeginObject();
  JsonText& EndObject();
  JsonText& BeginArray();
  JsonText& EndArray();
  JsonText& Key(std::string_view name);
  JsonText& String(std::string_view text);
  JsonText& Int(int64_t number);
  JsonText& Double(double number);  // as short as it can be; null for what JSON has no word for
  JsonText& Bool(bool flag);
  JsonText& Null();
  JsonText& Raw(std::string_view json);  // a value that is JSON already

  JsonText& Field(std::string_view name, std::string_view text) { return Key(name).String(text); }
  JsonText& Field(std::string_view name, const char* text) { return Key(name).String(text); }
  JsonText& Field(std::string_view name, const std::string& s) { return Key(name).String(s); }
  JsonText& Field(std::string_view name, int64_t number) { return Key(name).Int(number); }
  JsonText& Field(std::string_view name, int number) { return Key(name).Int(number); }
  JsonText& Field(std::string_view name, uint64_t number) {
    return Key(name).Int(static_cast<int64_t>(number));
  }
  JsonText& Field(std::string_view name, double number) { return Key(name).Double(number); }
  JsonText& Field(std::string_view name, bool flag) { return Key(name).Bool(flag); }

  const std::string& text() const { return text_; }
  std::string Take() { return std::move(text_); }

 private:
  void Separate();
  std::string text_;
  bool comma_ = false;  // the next value or key comes behind another
};

}  // namespace relay
