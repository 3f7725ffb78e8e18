// SPDX-License-Identifier: MIT
// How Fields reads single values, lists and maps, and what it says when they are none.
#include <algorithm>
#include <cstddef>

#include "core/config/fields.h"
#include "core/config/wording.h"

namespace relay {
namespace {

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

}  // namespace

std::string Range::Text() const {
  auto one = [this](int64_t whole, double number) {
    switch (unit) {
      case Unit::kWhole: return std::to_string(whole);
      case Unit::kNumber: return FormatNumber(number);
      case Unit::kDuration: return FormatDuration(Duration(whole));
      case Unit::kBytes: return FormatBytes(Bytes{static_cast<uint64_t>(whole)});
    }
    return std::string();
  };
  return one(low_whole, low_number) + ".." + one(high_whole, high_number);
}

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
constexpr std::string_view kProxyMust =
    "must be http://, https:// or socks5:// and host:port, with name:password@ before it if need "
    "be "
    "('%' in them as %25), or direct";
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

bool Fields::ReadScalar(const Slot& slot, ProxyUrl& value) {
  // Nothing here may show the text: a password may stand in it.
  const Node& node = slot.node;
  Parsed<ProxyUrl> parsed = std::unexpected(Unfit::kSyntax);
  if (node.IsScalar()) parsed = ParseProxyUrl(node.text);
  if (!parsed) return Complain(slot, kProxyMust);
  if (!node.from_outside && !parsed->password.empty()) WarnOfSecret(slot);
  value = *std::move(parsed);
  return true;
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

void Fields::WarnOfSecret(const Slot& slot) {
  slot.fields.problems_->Warn(slot.node.place, Quote(slot.name) +
                                                   " is a secret in the file itself; "
                                                   "better ${NAME} or ${file:path}");
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
  if (!node.from_outside && !node.text.empty()) WarnOfSecret(slot);
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
std::string ScalarText(const ProxyUrl& value) {
  return value.host.empty() ? "" : FormatProxyUrl(value);
}
std::string ScalarText(const Secret&) {
  return "";
}
std::string ScalarText(const Node&) {
  return "";
}

}  // namespace fields_detail
}  // namespace relay
