// SPDX-License-Identifier: MIT
#include "core/config/fields.h"

#include <algorithm>
#include <cstddef>

namespace relay {
namespace {

std::string Quote(std::string_view text) {
  // A value may be long, or hold bytes that a terminal obeys.
  constexpr size_t kLongest = 60;
  std::string out = "'";
  for (char c : text.substr(0, kLongest)) {
    auto byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte == 0x7f ? '?' : c;
  }
  if (text.size() > kLongest) {
    // Not in the middle of a character.
    while ((static_cast<unsigned char>(text[out.size() - 1]) & 0xc0) == 0x80) out.pop_back();
    out += "…";
  }
  return out + "'";
}

std::string_view KindName(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull:
      return "empty";
    case Node::Kind::kScalar:
      return "a single value";
    case Node::Kind::kSequence:
      return "a list";
    case Node::Kind::kMap:
      return "a map";
  }
  return "";
}

// What a complaint says the node is: its text, or its kind.
std::string Shown(const Node& node) {
  if (!node.IsScalar()) return std::string(KindName(node));
  if (node.text.empty()) return "empty";
  // A number reads better without quotes.
  bool bare = node.text.size() <= 30 && node.text.find_first_of("0123456789") <= 1 &&
              std::all_of(node.text.begin(), node.text.end(), [](char c) {
                return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '.' || c == '%' || c == '-';
              });
  return bare ? node.text : Quote(node.text);
}

std::string Listed(std::span<const std::string_view> words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " or " : ", ";
    text += words[i];
  }
  return text;
}

// "must be 1..64, not '99'"
std::string MustBe(std::string_view what, const Node& node) {
  return "must be " + std::string(what) + ", not " + Shown(node);
}

// The range, and the word that may stand in its place.
std::string RangeText(const FieldRule& rule) {
  std::string text = rule.range ? rule.range->Text() : "";
  if (rule.or_word) text = std::string(rule.or_word->word) + (text.empty() ? "" : " or ") + text;
  return text;
}

// Damerau-Levenshtein without repeated edits of one place ("optimal string alignment").
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1);
  std::vector<size_t> last(b.size() + 1);
  std::vector<size_t> now(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + cost});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        now[j] = std::min(now[j], before[j - 2] + 1);
      }
    }
    std::swap(before, last);
    std::swap(last, now);
  }
  return last[b.size()];
}

// Case and the choice of '-' or '_' are no difference to a person.
std::string Folded(std::string_view name) {
  std::string folded(name);
  for (char& c : folded) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '_') c = '-';
  }
  return folded;
}

}  // namespace

std::string_view NearestName(std::string_view name, std::span<const std::string_view> names) {
  constexpr size_t kLongest = 64;  // nobody mistypes more, and the work is quadratic
  if (name.size() > kLongest) return {};
  std::string wanted = Folded(name);
  std::string_view nearest;
  size_t best = std::max<size_t>(1, name.size() / 3) + 1;
  for (std::string_view candidate : names) {
    if (candidate.size() > kLongest) continue;
    size_t distance = EditDistance(wanted, Folded(candidate));
    if (distance < best && distance < candidate.size()) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string DidYouMean(std::string_view name, std::span<const std::string_view> names) {
  std::string_view nearest = NearestName(name, names);
  if (nearest.empty()) return "";
  return " (did you mean '" + std::string(nearest) + "'?)";
}

std::string Range::Text() const {
  auto one = [this](int64_t whole, double number) {
    switch (unit) {
      case Unit::kWhole:
        return std::to_string(whole);
      case Unit::kNumber:
        return FormatNumber(number);
      case Unit::kDuration:
        return FormatDuration(Duration(whole));
      case Unit::kBytes:
        return FormatBytes(Bytes{static_cast<uint64_t>(whole)});
    }
    return std::string();
  };
  return one(low_whole, low_number) + ".." + one(high_whole, high_number);
}

// --- Fields ----------------------------------------------------------------------------------

Fields::Fields(const Node& node, std::string label, Problems& problems)
    : node_(&node), problems_(&problems), label_(std::move(label)) {}

Fields::Fields(Shape& shape) : shape_(&shape) {}

void Fields::Title(std::string_view kind) {
  if (describing()) return;
  label_ = kind;
  std::string name = own_name_;
  if (name.empty()) {
    const Node* node = node_->Find("name");
    if (node && node->IsScalar() && !node->broken) name = node->text;
  }
  if (!name.empty()) label_ += " " + Quote(name);
}

bool Fields::AsWord(const OneOf& words, std::string& value) {
  if (describing()) {
    shape_->words.assign(words.words.begin(), words.words.end());
    return false;
  }
  if (!node_->IsScalar()) return false;
  opened_ = true;
  if (node_->broken || node_->Emptied()) return true;
  if (std::find(words.words.begin(), words.words.end(), node_->text) != words.words.end()) {
    value = node_->text;
  } else {
    RefuseNode("must be " + Listed(words.words) + ", or a map, not " + Shown(*node_) +
               DidYouMean(node_->text, words.words));
  }
  return true;
}

void Fields::NotBuilt(std::string_view name) {
  if (describing()) return;
  known_.push_back({std::string(name), false, false});
  if (!Open()) return;
  for (const Node::Entry& entry : node_->entries) {
    if (entry.key == name) {
      problems_->Add(entry.key_place, Quote(name) + " is not built yet; remove it");
    }
  }
}

bool Fields::Open() {
  if (opened_) return readable_;
  opened_ = true;
  readable_ = node_->IsMap() && !node_->broken;
  if (!readable_ && !node_->broken) {
    if (node_->IsNull()) {
      RefuseNode("is empty; remove it or give it a value");
    } else {
      RefuseNode("must be a map (name: value), not " + Shown(*node_));
    }
  }
  return readable_;
}

const Node* Fields::Begin(std::string_view name, bool required) {
  known_.push_back({std::string(name), true, false});
  if (!Open()) return nullptr;
  const Node* node = node_->Find(name);
  if (!node) {
    if (required) missing_.emplace_back(name);
    return nullptr;
  }
  if (node->broken) return nullptr;
  if (node->Emptied()) {
    if (required) {
      problems_->Add(node->place,
                     Quote(name) + " is empty: " + node->emptied_by + " is not set, or empty");
    }
    return nullptr;
  }
  return node;
}

void Fields::CheckKey(const Node::Entry& entry, const FieldRule& rule) {
  for (const Fits& fits : rule.fits) {
    if (fits.test(entry.key)) continue;
    problems_->Add(entry.key_place, "the name " + Quote(entry.key) + " " + std::string(fits.must));
  }
}

void Fields::AddShape(std::string_view name, bool required, const FieldRule& rule, Shape shape,
                      std::string default_text) {
  FieldShape field;
  field.name = name;
  field.doc = rule.doc;
  field.required = required;
  field.default_text = std::move(default_text);
  auto whole = shape.kind == Shape::Kind::kInteger ? ParseInteger(field.default_text)
                                                   : std::unexpected(Unfit::kSyntax);
  if (rule.or_word) {
    shape.words.emplace_back(rule.or_word->word);
    if (whole && *whole == rule.or_word->value) field.default_text = rule.or_word->word;
  } else if (whole && rule.range &&
             (*whole < rule.range->low_whole || *whole > rule.range->high_whole)) {
    // What cannot be written means "not given" (0 for no limit).
    field.default_text.clear();
  }
  field.shape = std::move(shape);
  shape_->fields.push_back(std::move(field));
}

bool Fields::Has(std::string_view name) const {
  return !describing() && node_->IsMap() && node_->Find(name) != nullptr;
}

bool Fields::Fine(std::string_view name) const {
  for (const Known& known : known_) {
    if (known.name == name) return known.fine;
  }
  return false;
}

const Node* Fields::NodeOf(std::string_view name) const {
  return describing() ? nullptr : node_->Find(name);
}

Place Fields::PlaceOf(std::string_view name) const {
  const Node* node = NodeOf(name);
  return node ? node->place : place();
}

Place Fields::place() const {
  return describing() ? Place{} : node_->place;
}

void Fields::Complain(std::string_view name, std::string_view what) {
  for (Known& known : known_) {
    if (known.name != name || !known.fine) continue;
    known.fine = false;
    problems_->Add(PlaceOf(name), Quote(name) + " " + std::string(what));
  }
}

void Fields::ComplainHere(std::string_view what) {
  // What is no map has been complained about, and has none of the rest either.
  if (!describing() && readable_) RefuseNode(what);
}

void Fields::RefuseNode(std::string_view what) {
  std::string text = label_.empty() ? "the file" : label_;
  problems_->Add(node_->place, text + " " + std::string(what));
}

void Fields::ComplainAt(const Place& where, std::string what) {
  if (!describing()) problems_->Add(where, std::move(what));
}

void Fields::Warn(std::string_view name, std::string_view what) {
  if (describing()) return;
  problems_->Warn(PlaceOf(name), Quote(name) + " " + std::string(what));
}

void Fields::Finish() {
  if (describing()) return;
  // A struct without fields ("account-select: {}") is looked at here for the first time.
  if (!Open()) return;
  std::vector<std::string_view> names;
  for (const Known& known : known_) {
    if (known.suggest && !Has(known.name)) names.push_back(known.name);
  }
  std::string where = label_.empty() ? "" : " in " + label_;
  for (const Node::Entry& entry : node_->entries) {
    bool known = std::any_of(known_.begin(), known_.end(),
                             [&](const Known& k) { return k.name == entry.key; });
    if (known) continue;
    problems_->Add(entry.key_place,
                   "unknown key " + Quote(entry.key) + where + DidYouMean(entry.key, names));
    // One complaint for a misspelt key is enough.
    std::erase(missing_, NearestName(entry.key, names));
  }
  for (const std::string& name : missing_) {
    problems_->Add(node_->place, Quote(name) + " is missing" + where);
  }
}

// --- Values ----------------------------------------------------------------------------------

bool Fields::Complain(const Slot& slot, std::string_view what) {
  if (!slot.node.broken) {
    slot.fields.problems_->Add(slot.node.place, Quote(slot.name) + " " + std::string(what));
  }
  return false;
}

namespace {

template <class T>
auto Measure(T value) {
  if constexpr (std::is_same_v<T, Duration>) {
    return value.count();
  } else if constexpr (std::is_same_v<T, Bytes>) {
    return static_cast<int64_t>(value.count);
  } else {
    return value;
  }
}

template <class T>
bool Outside(const std::optional<Range>& range, T value) {
  if (!range) return false;
  if constexpr (std::is_same_v<T, double>) {
    return value < range->low_number || value > range->high_number;
  } else if constexpr (std::is_convertible_v<T, int64_t>) {
    return value < range->low_whole || value > range->high_whole;
  } else {
    return false;
  }
}

// Reads with one of units.h; what is wrong comes back in words that follow the name.
template <class T, class Parse>
std::optional<std::string> Convert(const Node& node, const FieldRule& rule, Parse parse,
                                   std::string_view kind, T& value) {
  if (!node.IsScalar()) return MustBe(kind, node);
  auto parsed = parse(node.text);
  if (!parsed && (parsed.error() == Unfit::kSyntax || !rule.range)) return MustBe(kind, node);
  if (!parsed || Outside(rule.range, Measure(*parsed))) return MustBe(RangeText(rule), node);
  value = *parsed;
  return std::nullopt;
}

std::string InRange(const FieldRule& rule, std::string_view kind) {
  std::string text(kind);
  if (rule.or_word) text = std::string(rule.or_word->word) + " or " + text;
  return rule.range ? text + " in " + rule.range->Text() : text;
}

constexpr std::string_view kDurationKind = "a duration like 250ms, 10s, 5m, 1h or 2d";
constexpr std::string_view kBytesKind = "a size like 512B, 32KiB, 30MiB or 1GB";
constexpr std::string_view kShareKind = "a size like 256MiB, or a share like 25%";
constexpr std::string_view kHostPortKind = "host:port, like 0.0.0.0:3000 or [::1]:3000";
constexpr std::string_view kUrlKind = "an http:// or https:// URL without user, query or fragment";

}  // namespace

bool Fields::ReadScalar(const Slot& slot, bool& value) {
  auto wrong = Convert(slot.node, FieldRule{}, ParseBool, "true or false", value);
  return wrong ? Complain(slot, *wrong) : true;
}

bool Fields::ReadScalar(const Slot& slot, int64_t& value) {
  const std::optional<OrWord>& word = slot.rule.or_word;
  if (word && slot.node.IsScalar() && slot.node.text == word->word) {
    value = word->value;
    return true;
  }
  auto wrong =
      Convert(slot.node, slot.rule, ParseInteger, InRange(slot.rule, "a whole number"), value);
  return wrong ? Complain(slot, *wrong) : true;
}

bool Fields::FitsInteger(const Slot& slot, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return true;
  return Complain(slot, MustBe(Range(low, high).Text(), slot.node));
}

bool Fields::ReadScalar(const Slot& slot, double& value) {
  auto wrong = Convert(slot.node, slot.rule, ParseNumber,
                       InRange(slot.rule, "a number like 10 or 2.50"), value);
  return wrong ? Complain(slot, *wrong) : true;
}

bool Fields::ReadScalar(const Slot& slot, Duration& value) {
  auto wrong = Convert(slot.node, slot.rule, ParseDuration, kDurationKind, value);
  return wrong ? Complain(slot, *wrong) : true;
}

bool Fields::ReadScalar(const Slot& slot, Bytes& value) {
  auto wrong = Convert(slot.node, slot.rule, ParseBytes, kBytesKind, value);
  return wrong ? Complain(slot, *wrong) : true;
}

bool Fields::ReadScalar(const Slot& slot, BytesOrShare& value) {
  BytesOrShare read;
  // The range is of the size; a share has its own, 1 to 100.
  auto wrong = Convert(slot.node, FieldRule{}, ParseBytesOrShare, kShareKind, read);
  if (!wrong && read.percent == 0 && Outside(slot.rule.range, Measure(read.bytes))) {
    wrong = MustBe(slot.rule.range->Text() + " or 1%..100%", slot.node);
  }
  if (wrong) return Complain(slot, *wrong);
  value = read;
  return true;
}

bool Fields::ReadScalar(const Slot& slot, HostPort& value) {
  auto wrong = Convert(slot.node, FieldRule{}, ParseHostPort, kHostPortKind, value);
  return wrong ? Complain(slot, *wrong) : true;
}

bool Fields::ReadScalar(const Slot& slot, Url& value) {
  // Before an '@' may stand a password.
  if (slot.node.IsScalar() && slot.node.text.find('@') != std::string::npos) {
    return Complain(slot, "must be " + std::string(kUrlKind));
  }
  auto wrong = Convert(slot.node, FieldRule{}, ParseUrl, kUrlKind, value);
  return wrong ? Complain(slot, *wrong) : true;
}

bool Fields::ReadScalar(const Slot& slot, std::string& value) {
  const FieldRule& rule = slot.rule;
  if (!rule.words.empty()) {
    auto index = ReadWord(slot, rule.words);
    if (index) value = rule.words[*index];
    return index.has_value();
  }
  if (!slot.node.IsScalar()) {
    if (slot.node.IsNull()) return Complain(slot, "is empty; remove it or give it a value");
    return Complain(slot, MustBe("text", slot.node));
  }
  if (rule.non_empty && slot.node.text.empty()) return Complain(slot, "must not be empty");
  for (const Fits& fits : rule.fits) {
    if (!fits.test(slot.node.text)) {
      return Complain(slot, std::string(fits.must) + ", not " + Shown(slot.node));
    }
  }
  value = slot.node.text;
  return true;
}

bool Fields::ReadScalar(const Slot& slot, Secret& value) {
  // Nothing here may show the text.
  const Node& node = slot.node;
  if (!node.IsScalar()) {
    if (node.IsNull()) return Complain(slot, "is empty; remove it or give it a value");
    return Complain(slot, "must be text, not " + std::string(KindName(node)));
  }
  if (slot.rule.non_empty && node.text.empty()) return Complain(slot, "must not be empty");
  for (const Fits& fits : slot.rule.fits) {
    if (!fits.test(node.text)) return Complain(slot, fits.must);
  }
  if (!node.from_outside && !node.text.empty()) {
    slot.fields.problems_->Warn(node.place, Quote(slot.name) +
                                                " is a secret in the file itself; "
                                                "better ${NAME} or ${file:path}");
  }
  value = Secret(node.text);
  return true;
}

bool Fields::ReadScalar(const Slot& slot, Node& value) {
  value = slot.node;
  return !slot.node.broken;
}

std::optional<size_t> Fields::ReadWord(const Slot& slot, std::span<const std::string_view> words) {
  if (slot.node.IsScalar()) {
    auto at = std::find(words.begin(), words.end(), slot.node.text);
    if (at != words.end()) return static_cast<size_t>(at - words.begin());
  }
  std::string hint = slot.node.IsScalar() ? DidYouMean(slot.node.text, words) : "";
  Complain(slot, MustBe(Listed(words), slot.node) + hint);
  return std::nullopt;
}

bool Fields::OpenList(const Slot& slot, std::span<const Node>& items) {
  const Node& node = slot.node;
  if (node.IsSequence()) {
    if (slot.rule.non_empty && node.items.empty()) {
      return Complain(slot, "must hold at least one value");
    }
    items = node.items;
    return true;
  }
  if (slot.rule.one_or_many && node.IsScalar()) {
    items = {&node, 1};
    return true;
  }
  if (node.IsNull()) return Complain(slot, "is empty; remove it or give it a value");
  return Complain(slot, MustBe(slot.rule.one_or_many ? "a value or a list" : "a list", node));
}

bool Fields::OpenMap(const Slot& slot) {
  const Node& node = slot.node;
  if (node.IsNull()) return Complain(slot, "is empty; remove it or give it a value");
  if (!node.IsMap()) return Complain(slot, MustBe("a map (name: value)", node));
  if (slot.rule.non_empty && node.entries.empty()) {
    return Complain(slot, "must hold at least one value");
  }
  return true;
}

Shape Fields::ScalarShape(Shape::Kind kind, const FieldRule& rule) {
  Shape shape;
  shape.kind = kind;
  shape.range = rule.range;
  shape.non_empty = rule.non_empty;
  shape.words.assign(rule.words.begin(), rule.words.end());
  for (const Fits& fits : rule.fits) {
    if (!fits.in_reference) continue;
    if (!shape.must.empty()) shape.must += "; ";
    shape.must += fits.must;
  }
  return shape;
}

namespace fields_detail {

std::string ScalarText(bool value) {
  return value ? "true" : "false";
}
std::string ScalarText(int64_t value) {
  return std::to_string(value);
}
std::string ScalarText(double value) {
  return FormatNumber(value);
}
std::string ScalarText(const std::string& value) {
  return value;
}
std::string ScalarText(Duration value) {
  return FormatDuration(value);
}
std::string ScalarText(Bytes value) {
  return FormatBytes(value);
}
std::string ScalarText(const BytesOrShare& value) {
  return FormatBytesOrShare(value);
}
std::string ScalarText(const HostPort& value) {
  return value.host.empty() ? "" : FormatHostPort(value);
}
std::string ScalarText(const Url& value) {
  return value.host.empty() ? "" : FormatUrl(value);
}
std::string ScalarText(const Secret&) {
  return "";
}
std::string ScalarText(const Node&) {
  return "";
}

}  // namespace fields_detail
}  // namespace relay
