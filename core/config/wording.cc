// SPDX-License-Identifier: MIT
#include "core/config/wording.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "core/base/text.h"

namespace relay {
namespace {

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
  std::string folded = LowerOf(name);
  std::ranges::replace(folded, '_', '-');
  return folded;
}

}  // namespace

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
    case Node::Kind::kNull: return "empty";
    case Node::Kind::kScalar: return "a single value";
    case Node::Kind::kSequence: return "a list";
    case Node::Kind::kMap: return "a map";
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

}  // namespace relay
