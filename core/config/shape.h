// SPDX-License-Identifier: MIT
// What a configuration may hold, as data: the same Bind that reads a struct yields its Shape, from
// which the reference and the JSON schema are printed (describe.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/base/clock.h"
#include "core/config/units.h"

namespace relay {

// Both ends belong to it. Of whole numbers, numbers with a fraction, durations or byte counts.
struct Range {
  template <class A, class B>
    requires std::is_integral_v<A> && std::is_integral_v<B>
  Range(A low, B high) : unit(Unit::kWhole), low_whole(int64_t{low}), high_whole(int64_t{high}) {}
  Range(double low, double high) : unit(Unit::kNumber), low_number(low), high_number(high) {}
  Range(Duration low, Duration high)
      : unit(Unit::kDuration), low_whole(low.count()), high_whole(high.count()) {}
  Range(Bytes low, Bytes high)
      : unit(Unit::kBytes),
        low_whole(static_cast<int64_t>(low.count)),
        high_whole(static_cast<int64_t>(high.count)) {}

  // "1..64", "10ms..1h", "1KiB..1MiB"
  std::string Text() const;

  enum class Unit : uint8_t { kWhole, kNumber, kDuration, kBytes } unit;
  int64_t low_whole = 0;
  int64_t high_whole = 0;
  double low_number = 0;
  double high_number = 0;
};

struct FieldShape;

struct Shape {
  enum class Kind : uint8_t {
    kBool,
    kInteger,
    kNumber,
    kText,
    kDuration,
    kBytes,
    kBytesOrShare,
    kHostPort,
    kUrl,
    kSecret,
    kAny,  // any YAML
    kStruct,
    kList,
    kMap,  // names of the user's choice
  };

  Kind kind = Kind::kAny;
  // Text: the only ones allowed, if any. Other kinds: words that may stand in the value's place.
  std::vector<std::string> words;
  std::optional<Range> range;
  std::string must;                // what else holds for text: "must begin with '/'"
  bool non_empty = false;          // text, lists and maps
  bool one_or_many = false;        // lists: a single item may stand alone
  std::vector<FieldShape> fields;  // structs
  std::vector<Shape> item;         // lists and maps: exactly one, what each holds
};

struct FieldShape {
  std::string name;
  std::string doc;
  bool required = false;
  std::string default_text;  // as YAML; "" where there is none to print
  Shape shape;
};

}  // namespace relay
