// SPDX-License-Identifier: MIT
// Picks a few values out of a JSON text that comes in pieces, of whatever size, with a state of a
// few hundred bytes. It trusts the text: what is not JSON it may misread or stop at, so it is for
// answers that are read on the side, never for what is checked or decided upon.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace relay {

// Places of values: names joined by dots, "[]" for each element of an array:
// "candidates.[].finishReason". At most 32.
class JsonPaths {
 public:
  static constexpr size_t kMaxSteps = 8;
  struct Path {
    std::string_view place;  // a literal
    size_t keep = 0;         // bytes of the value that are wanted; longer ones come without text
  };
  // Lives as long as the pickers that use it.
  JsonPaths(std::initializer_list<Path> paths);

 private:
  friend class JsonPicker;
  static constexpr size_t kNone = SIZE_MAX;
  struct Steps {
    std::array<std::string_view, kMaxSteps> names;
    size_t count = 0;
    size_t keep = 0;
  };
  uint32_t AtStep(size_t step, std::string_view name, uint32_t among) const;

  std::vector<Steps> paths_;
  std::array<uint32_t, kMaxSteps + 1> ending_{};  // by number of steps: the paths with so many
  size_t most_steps_ = 0;
  uint32_t all_ = 0;  // a bit for each path
};

class JsonPicker {
 public:
  struct Found {
    size_t path = 0;       // its number in the list
    std::string_view raw;  // the value as it stands; "" if it is longer than is wanted
    size_t size = 0;       // of the value
  };

  explicit JsonPicker(const JsonPaths& paths) : paths_(&paths) {}
  JsonPicker(const JsonPicker&) = delete;
  JsonPicker& operator=(const JsonPicker&) = delete;

  // Takes bytes from the front of `piece` up to the end of the next value that is wanted, or all.
  // The view is good until the next call and while the piece's bytes are.
  std::optional<Found> Next(std::string_view& piece);
  // Calls f(const Found&) for each value that ends in `piece`.
  template <class F>
  void Feed(std::string_view piece, F f) {
    while (std::optional<Found> found = Next(piece)) f(*found);
  }
  // Begins a new text.
  void Reset();
  // The outermost value, an object or array, has ended. What comes behind it is ignored.
  bool complete() const { return where_ == Where::kDone; }

 private:
  static constexpr size_t kMaxDepth = 64;
  static constexpr size_t kLongestName = 40;
  // kInside: in an object or array in which nothing is wanted, whose end is looked for.
  enum class Where : uint8_t { kValue, kName, kBetween, kString, kWord, kInside, kDone, kBroken };

  bool Step(const char*& at, const char* end);
  bool BeginValue(const char* at);
  bool EndValue();
  bool Open(char bracket);
  bool FindEnd(const char*& at, const char* end);
  bool InString(const char*& at, const char* end);
  std::optional<Found> Take(const char* behind);

  bool stopped() const { return where_ == Where::kDone || where_ == Where::kBroken; }
  bool in_object() const { return depth_ > 0 && (objects_ & 1) != 0; }

  // Whether the name of a field here could be a step of a path.
  bool names_matter() const { return depth_ <= paths_->most_steps_ && live_[depth_ - 1] != 0; }
  void AddToName(const char* from, const char* to);

  const JsonPaths* paths_;
  std::array<char, kLongestName> name_{};  // of the current field, its beginning
  size_t name_size_ = 0;
  std::array<uint32_t, JsonPaths::kMaxSteps + 1> live_{};  // by depth: paths that lead on from here
  std::string kept_;                                       // the value's bytes in earlier pieces
  const char* from_ = nullptr;                             // the value's beginning in this piece
  size_t picking_ = JsonPaths::kNone;                      // the path whose value this is
  size_t picked_depth_ = 0;                                // where it stands
  size_t size_ = 0;                                        // its bytes in earlier pieces
  uint64_t objects_ = 0;                                   // a bit a level: 1 is an object
  size_t depth_ = 0;
  size_t outside_ = 0;  // of what kInside is in: its depth
  Where where_ = Where::kValue;
  bool escaped_ = false;   // the next byte of the string stands behind a backslash
  bool is_name_ = false;   // the string is a field's name
  bool inside_ = false;    // the string is somewhere inside
  bool returned_ = false;  // kept_ belongs to what was returned
};

}  // namespace relay
