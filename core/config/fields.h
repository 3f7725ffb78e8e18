// SPDX-License-Identifier: MIT
// Binds a map of the configuration to a struct. One function declares it,
//
//   void Bind(Fields& f, RateLimitConfig& c) {
//     f.Optional("requests-per-minute", c.per_minute, Range{1, 1'000'000}, "starts a minute");
//     f.Optional("budget", c.budget, OneOf{"key", "route"}, "what shares one allowance");
//   }
//
// and serves reading, checking (all problems, unknown keys with the nearest name), the reference
// and the JSON schema. Found by ADL, so structs nest. Members may be: bool, whole numbers, double,
// std::string, the scalars of units.h, ProxyUrl, Secret, Node (any YAML), enums with a WordsOf(E),
// structs with a Bind, and At, std::optional, std::vector, std::map<std::string, …> and
// std::vector<std::pair<std::string, …>> (a map in the file's order) of these.
#pragma once

#include <initializer_list>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/base/json.h"
#include "core/base/secret.h"
#include "core/config/node.h"
#include "core/config/proxy_url.h"
#include "core/config/shape.h"
#include "core/config/units.h"

namespace relay {

// --- Rules: any of them after the member, in any order; the text that says what it is for too. ---
// (Range is in shape.h.) On lists and maps, a rule holds for each item but for NonEmpty. Items that
// are empty through ${NAME:=} are left out.

// Text: one of these.
struct OneOf {
  OneOf(std::initializer_list<std::string_view> list) : words(list) {}
  std::vector<std::string_view> words;
};
// Text, list or map: not empty.
struct NonEmpty {};
// List: a single item may stand without brackets.
struct OneOrMany {};
// Whole number: a word that stands for a value, "auto" for 0.
struct OrWord {
  std::string_view word;
  int64_t value;
};
// Text: what else must hold; `must` completes the sentence "'prefix' …": "must begin with '/'".
struct Fits {
  bool (*test)(std::string_view text);
  std::string_view must;
  bool in_reference = true;  // false for what nobody needs to be told beforehand
};

// Enums: `std::span<const Word<E>> WordsOf(E)` in E's namespace gives the spellings.
template <class E>
struct Word {
  std::string_view text;
  E value;
};

// A value that remembers its place, for complaints that come later.
template <class T>
struct At {
  T value{};
  Place place;
};

struct FieldRule {
  std::string_view doc;
  std::optional<Range> range;
  std::vector<std::string_view> words;
  std::optional<OrWord> or_word;
  std::vector<Fits> fits;
  bool non_empty = false;
  bool one_or_many = false;

  void Take(std::string_view text) { doc = text; }
  void Take(const Range& r) { range = r; }
  void Take(const OneOf& o) { words = o.words; }
  void Take(const OrWord& o) { or_word = o; }
  void Take(const Fits& f) { fits.push_back(f); }
  void Take(NonEmpty) { non_empty = true; }
  void Take(OneOrMany) { one_or_many = true; }
};

class Fields {
 public:
  // Reads `node`; `label` names it in complaints: "filter 'rate-limit'", "" for the whole file.
  // All three outlive the Fields.
  Fields(const Node& node, std::string label, Problems& problems);
  // Describes instead: fills `shape`, reads nothing.
  explicit Fields(Shape& shape);
  // Writes instead: adds the fields of the object that is open in `json`, spelt as the other way
  // round reads them. What says nothing is left out: an empty text or list, a number or duration
  // that the range does not have, false. So are secrets, and maps of Named.
  explicit Fields(JsonText& json);
  Fields(const Fields&) = delete;
  Fields& operator=(const Fields&) = delete;

  // A key that must be there, with a value.
  template <class T, class... Rules>
  void Required(std::string_view name, T& value, const Rules&... rules) {
    Field(name, true, value, RuleOf(rules...));
  }
  // A key that may be absent, or empty through ${NAME:=}: `value` then stays what it is, which is
  // the default that the reference prints.
  template <class T, class... Rules>
  void Optional(std::string_view name, T& value, const Rules&... rules) {
    Field(name, false, value, RuleOf(rules...));
  }
  // A map of structs that have a member `name`, which becomes the key ("clusters"). A Fits holds
  // for the keys.
  template <class T, class... Rules>
  void Named(std::string_view name, std::vector<T>& values, const Rules&... rules);

  // To be called first: makes complaints say "key 'alice'" (by the node's `name` or its key in a
  // map of Named) instead of the name of the field that this is.
  void Title(std::string_view kind);
  // To be called before any field: true when the node is one of these words instead of a map, and
  // then `value` is it and nothing else may be bound ("store: auto").
  bool AsWord(const OneOf& words, std::string& value);
  // A key that exists one day: refused with "is not built yet; remove it", never suggested.
  void NotBuilt(std::string_view name);

  // --- For rules beyond a single field, after the fields were bound; nothing unless reading.
  // ------ The key is there, not empty through ${NAME:=}, and was read without complaint.
  bool Fine(std::string_view name) const;
  // The key is there, whatever it holds.
  bool Has(std::string_view name) const;
  // The place of the key's value; of the whole node when there is no such key.
  Place PlaceOf(std::string_view name) const;
  Place place() const;
  const Node* NodeOf(std::string_view name) const;
  // "'name' what" at the value of a field that is Fine; it is no longer fine then.
  void Complain(std::string_view name, std::string_view what);
  // "label what" at the node itself, if it is a map at all.
  void ComplainHere(std::string_view what);
  void ComplainAt(const Place& where, std::string what);
  void Warn(std::string_view name, std::string_view what);
  // Describing or writing.
  bool describing() const { return node_ == nullptr; }
  const std::string& label() const { return label_; }

  // Complains about unknown and missing keys. ReadStruct calls it.
  void Finish();

 private:
  struct Known {
    std::string name;
    bool suggest = true;
    bool fine = false;
  };
  // What a value's reader needs to know.
  struct Slot {
    const Node& node;
    std::string_view name;  // as complaints quote it
    const FieldRule& rule;
    Fields& fields;
    std::string_view own_name = {};  // the key in a map of Named
  };

  template <class... Rules>
  static FieldRule RuleOf(const Rules&... rules) {
    FieldRule rule;
    (rule.Take(rules), ...);
    return rule;
  }
  template <class T>
  void Field(std::string_view name, bool required, T& value, const FieldRule& rule);
  // The node to read for this field; null when there is nothing (more) to do for it.
  const Node* Begin(std::string_view name, bool required);
  void Done(bool fine) { known_.back().fine = fine; }
  void AddShape(std::string_view name, bool required, const FieldRule& rule, Shape shape,
                std::string default_text);
  void RefuseNode(std::string_view what);
  void CheckKey(const Node::Entry& entry, const FieldRule& rule);
  // False, with a complaint, when the node is no map.
  bool Open();

  static bool Complain(const Slot& slot, std::string_view what);  // returns false
  static void WarnOfSecret(const Slot& slot);
  static bool ReadScalar(const Slot& slot, bool& value);
  static bool ReadScalar(const Slot& slot, int64_t& value);
  static bool ReadScalar(const Slot& slot, double& value);
  static bool ReadScalar(const Slot& slot, std::string& value);
  static bool ReadScalar(const Slot& slot, Duration& value);
  static bool ReadScalar(const Slot& slot, Bytes& value);
  static bool ReadScalar(const Slot& slot, BytesOrShare& value);
  static bool ReadScalar(const Slot& slot, HostPort& value);
  static bool ReadScalar(const Slot& slot, Url& value);
  static bool ReadScalar(const Slot& slot, ProxyUrl& value);
  static bool ReadScalar(const Slot& slot, Secret& value);
  static bool ReadScalar(const Slot& slot, Node& value);
  // The index of the word, or nothing after a complaint.
  static std::optional<size_t> ReadWord(const Slot& slot, std::span<const std::string_view> words);
  static bool FitsInteger(const Slot& slot, int64_t value, int64_t low, int64_t high);
  // False, with a complaint, when it is no list; a single node where OneOrMany allows it.
  static bool OpenList(const Slot& slot, std::span<const Node>& items);
  static bool OpenMap(const Slot& slot);

  template <class T>
  static bool ReadValue(const Slot& slot, T& value);
  template <class T>
  static Shape ShapeOf(const FieldRule& rule);
  static Shape ScalarShape(Shape::Kind kind, const FieldRule& rule);
  template <class T>
  static std::string DefaultText(const T& value);
  // "": says nothing.
  template <class T>
  static std::string ValueJson(const T& value, const FieldRule& rule);

  template <class T>
  friend bool ReadStruct(const Node&, std::string, Problems&, T&);
  template <class T>
  friend Shape DescribeStruct();
  template <class T>
  friend std::string WriteStruct(const T&);

  const Node* node_ = nullptr;
  Problems* problems_ = nullptr;
  std::string label_;
  std::string own_name_;
  std::vector<Known> known_;
  std::vector<std::string> missing_;  // required ones
  Shape* shape_ = nullptr;
  JsonText* json_ = nullptr;
  bool opened_ = false;
  bool readable_ = false;  // a map, known to be one
};

// Reads a map into a struct. False when it complained; `value` then holds what could be read.
template <class T>
bool ReadStruct(const Node& node, std::string label, Problems& problems, T& value) {
  size_t before = problems.size();
  Fields fields(node, std::move(label), problems);
  Bind(fields, value);
  fields.Finish();
  return problems.size() == before;
}

// What a struct may hold, from its Bind.
template <class T>
Shape DescribeStruct() {
  Shape shape;
  shape.kind = Shape::Kind::kStruct;
  Fields fields(shape);
  T value{};
  Bind(fields, value);
  return shape;
}

// A struct as a JSON object that ReadStruct reads back (json_node.h), from its Bind.
template <class T>
std::string WriteStruct(const T& value) {
  JsonText json;
  json.BeginObject();
  Fields fields(json);
  T copy = value;  // Bind may write to what it binds
  Bind(fields, copy);
  return json.EndObject().Take();
}

// ---------------------------------------------------------------------------------------------

namespace fields_detail {

template <class T>
inline constexpr bool kIsOptional = false;
template <class T>
inline constexpr bool kIsOptional<std::optional<T>> = true;

template <class T>
inline constexpr bool kIsAt = false;
template <class T>
inline constexpr bool kIsAt<At<T>> = true;

template <class T>
inline constexpr bool kIsList = false;
template <class T>
inline constexpr bool kIsList<std::vector<T>> = true;

template <class T>
inline constexpr bool kIsMap = false;
template <class T>
inline constexpr bool kIsMap<std::map<std::string, T>> = true;
template <class T>
inline constexpr bool kIsMap<std::vector<std::pair<std::string, T>>> = true;

template <class T>
struct MapValue;
template <class T>
struct MapValue<std::map<std::string, T>> {
  using Type = T;
};
template <class T>
struct MapValue<std::vector<std::pair<std::string, T>>> {
  using Type = T;
};

template <class T>
inline constexpr bool kIsScalar =
    std::is_same_v<T, bool> || std::is_same_v<T, int64_t> || std::is_same_v<T, double> ||
    std::is_same_v<T, std::string> || std::is_same_v<T, Duration> || std::is_same_v<T, Bytes> ||
    std::is_same_v<T, BytesOrShare> || std::is_same_v<T, HostPort> || std::is_same_v<T, Url> ||
    std::is_same_v<T, ProxyUrl> || std::is_same_v<T, Secret> || std::is_same_v<T, Node>;

template <class T>
constexpr Shape::Kind KindOf() {
  using Kind = Shape::Kind;
  if constexpr (std::is_same_v<T, bool>) return Kind::kBool;
  if constexpr (std::is_same_v<T, double>) return Kind::kNumber;
  if constexpr (std::is_same_v<T, std::string>) return Kind::kText;
  if constexpr (std::is_same_v<T, Duration>) return Kind::kDuration;
  if constexpr (std::is_same_v<T, Bytes>) return Kind::kBytes;
  if constexpr (std::is_same_v<T, BytesOrShare>) return Kind::kBytesOrShare;
  if constexpr (std::is_same_v<T, HostPort>) return Kind::kHostPort;
  if constexpr (std::is_same_v<T, Url>) return Kind::kUrl;
  // A password may stand in the URL of a proxy.
  if constexpr (std::is_same_v<T, Secret> || std::is_same_v<T, ProxyUrl>) return Kind::kSecret;
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) return Kind::kInteger;
  return Kind::kAny;
}

std::string ScalarText(bool value);
std::string ScalarText(int64_t value);
std::string ScalarText(double value);
std::string ScalarText(const std::string& value);
std::string ScalarText(Duration value);
std::string ScalarText(Bytes value);
std::string ScalarText(const BytesOrShare& value);
std::string ScalarText(const HostPort& value);
std::string ScalarText(const Url& value);
std::string ScalarText(const ProxyUrl& value);
std::string ScalarText(const Secret& value);
std::string ScalarText(const Node& value);

}  // namespace fields_detail

template <class T>
void Fields::Field(std::string_view name, bool required, T& value, const FieldRule& rule) {
  if (json_ != nullptr) {
    std::string text = ValueJson(value, rule);
    if (!text.empty()) json_->Key(name).Raw(text);
    return;
  }
  if (describing()) {
    AddShape(name, required, rule, ShapeOf<T>(rule), required ? "" : DefaultText(value));
    return;
  }
  const Node* node = Begin(name, required);
  if (!node) return;
  bool fine = ReadValue(Slot{*node, name, rule, *this}, value);
  Done(fine);
}

template <class T, class... Rules>
void Fields::Named(std::string_view name, std::vector<T>& values, const Rules&... rules) {
  FieldRule rule = RuleOf(rules...);
  if (json_ != nullptr) return;
  if (describing()) {
    Shape shape = ScalarShape(Shape::Kind::kMap, rule);
    shape.item.push_back(ShapeOf<T>(FieldRule{}));
    AddShape(name, false, rule, std::move(shape), "");
    return;
  }
  const Node* node = Begin(name, false);
  if (!node) return;
  Slot slot{*node, name, rule, *this};
  if (!OpenMap(slot)) return;
  bool fine = true;
  for (const Node::Entry& entry : node->entries) {
    CheckKey(entry, rule);
    T value{};
    value.name = entry.key;
    FieldRule none;
    fine &= ReadValue(Slot{entry.value, entry.key, none, *this, entry.key}, value);
    values.push_back(std::move(value));
  }
  Done(fine);
}

template <class T>
bool Fields::ReadValue(const Slot& slot, T& value) {
  using namespace fields_detail;
  if (slot.node.broken) return false;
  if constexpr (kIsScalar<T>) {
    return ReadScalar(slot, value);
  } else if constexpr (std::is_integral_v<T>) {
    int64_t wide = 0;
    if (!ReadScalar(slot, wide)) return false;
    if (!FitsInteger(slot, wide, std::numeric_limits<T>::min(),
                     static_cast<int64_t>(std::numeric_limits<T>::max()))) {
      return false;
    }
    value = static_cast<T>(wide);
    return true;
  } else if constexpr (std::is_enum_v<T>) {
    auto words = WordsOf(T{});
    std::vector<std::string_view> texts;
    for (const auto& word : words) texts.push_back(word.text);
    auto index = ReadWord(slot, texts);
    if (!index) return false;
    value = words[*index].value;
    return true;
  } else if constexpr (kIsOptional<T>) {
    return ReadValue(slot, value.emplace());
  } else if constexpr (kIsAt<T>) {
    value.place = slot.node.place;
    return ReadValue(slot, value.value);
  } else if constexpr (kIsMap<T>) {
    if (!OpenMap(slot)) return false;
    value.clear();
    FieldRule item_rule = slot.rule;
    item_rule.non_empty = false;
    bool fine = true;
    for (const Node::Entry& entry : slot.node.entries) {
      if (entry.value.Emptied()) continue;
      typename MapValue<T>::Type item{};
      fine &= ReadValue(Slot{entry.value, entry.key, item_rule, slot.fields}, item);
      value.insert(value.end(), {entry.key, std::move(item)});
    }
    return fine;
  } else if constexpr (kIsList<T>) {
    std::span<const Node> items;
    if (!OpenList(slot, items)) return false;
    value.clear();
    FieldRule item_rule = slot.rule;
    item_rule.non_empty = false;
    item_rule.one_or_many = false;
    bool fine = true;
    for (const Node& node : items) {
      if (node.Emptied()) continue;
      fine &= ReadValue(Slot{node, slot.name, item_rule, slot.fields}, value.emplace_back());
    }
    return fine;
  } else {
    size_t before = slot.fields.problems_->size();
    std::string label = "'" + std::string(slot.name) + "'";
    if (!slot.fields.label_.empty()) label += " of " + slot.fields.label_;
    Fields inner(slot.node, std::move(label), *slot.fields.problems_);
    inner.own_name_ = slot.own_name;
    Bind(inner, value);
    inner.Finish();
    return slot.fields.problems_->size() == before;
  }
}

template <class T>
Shape Fields::ShapeOf(const FieldRule& rule) {
  using namespace fields_detail;
  if constexpr (kIsScalar<T> || std::is_integral_v<T>) {
    return ScalarShape(KindOf<T>(), rule);
  } else if constexpr (std::is_enum_v<T>) {
    Shape shape = ScalarShape(Shape::Kind::kText, rule);
    for (const auto& word : WordsOf(T{})) shape.words.emplace_back(word.text);
    return shape;
  } else if constexpr (kIsOptional<T>) {
    return ShapeOf<typename T::value_type>(rule);
  } else if constexpr (kIsAt<T>) {
    return ShapeOf<decltype(T::value)>(rule);
  } else if constexpr (kIsMap<T> || kIsList<T>) {
    FieldRule item_rule = rule;
    item_rule.non_empty = false;
    item_rule.one_or_many = false;
    Shape shape;
    shape.non_empty = rule.non_empty;
    shape.one_or_many = rule.one_or_many;
    if constexpr (kIsMap<T>) {
      shape.kind = Shape::Kind::kMap;
      shape.item.push_back(ShapeOf<typename MapValue<T>::Type>(item_rule));
    } else {
      shape.kind = Shape::Kind::kList;
      shape.item.push_back(ShapeOf<typename T::value_type>(item_rule));
    }
    return shape;
  } else {
    return DescribeStruct<T>();
  }
}

template <class T>
std::string Fields::DefaultText(const T& value) {
  using namespace fields_detail;
  if constexpr (kIsScalar<T>) {
    return ScalarText(value);
  } else if constexpr (std::is_integral_v<T>) {
    return ScalarText(static_cast<int64_t>(value));
  } else if constexpr (std::is_enum_v<T>) {
    for (const auto& word : WordsOf(T{})) {
      if (word.value == value) return std::string(word.text);
    }
    return "";
  } else if constexpr (kIsOptional<T>) {
    return value ? DefaultText(*value) : "";
  } else if constexpr (kIsAt<T>) {
    return DefaultText(value.value);
  } else if constexpr (kIsList<T> && !kIsMap<T>) {
    if (value.empty()) return "";
    std::string text = "[";
    for (const auto& item : value) {
      if (text.size() > 1) text += ", ";
      text += DefaultText<typename T::value_type>(item);
    }
    return text + "]";
  } else {
    return "";
  }
}

template <class T>
std::string Fields::ValueJson(const T& value, const FieldRule& rule) {
  using namespace fields_detail;
  if constexpr (std::is_same_v<T, Secret>) {
    return "";
  } else if constexpr (std::is_same_v<T, Node>) {
    return value.IsNull() ? "" : RenderJson(value);
  } else if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "";
  } else if constexpr (std::is_same_v<T, double>) {
    bool given =
        !rule.range || (value >= rule.range->low_number && value <= rule.range->high_number);
    return given ? JsonText().Double(value).Take() : "";
  } else if constexpr (std::is_integral_v<T>) {
    auto whole = static_cast<int64_t>(value);
    bool given = !rule.range || (whole >= rule.range->low_whole && whole <= rule.range->high_whole);
    return given ? std::to_string(whole) : "";
  } else if constexpr (std::is_same_v<T, Duration>) {
    bool given = !rule.range || (value.count() >= rule.range->low_whole &&
                                 value.count() <= rule.range->high_whole);
    return given ? JsonString(DefaultText(value)) : "";
  } else if constexpr (kIsScalar<T> || std::is_enum_v<T>) {
    std::string text = DefaultText(value);
    return text.empty() ? "" : JsonString(text);
  } else if constexpr (kIsOptional<T>) {
    return value ? ValueJson(*value, rule) : "";
  } else if constexpr (kIsAt<T>) {
    return ValueJson(value.value, rule);
  } else if constexpr (kIsMap<T>) {
    JsonText json;
    json.BeginObject();
    for (const auto& [key, item] : value) json.Key(key).Raw(ValueJson(item, rule));
    return value.empty() ? "" : json.EndObject().Take();
  } else if constexpr (kIsList<T>) {
    JsonText json;
    json.BeginArray();
    for (const auto& item : value) json.Raw(ValueJson(item, rule));
    return value.empty() ? "" : json.EndArray().Take();
  } else {
    std::string text = WriteStruct(value);
    return text == "{}" ? "" : text;
  }
}

}  // namespace relay
