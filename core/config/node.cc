// SPDX-License-Identifier: MIT
#include "core/config/node.h"

#include <algorithm>
#include <tuple>

namespace relay {
namespace {

std::vector<std::string> SortedLines(std::vector<Problem> problems, std::string_view mark) {
  auto key = [](const Problem& p) {
    return std::tuple(p.place.file ? std::string_view(*p.place.file) : std::string_view(),
                      p.place.line, p.place.column, std::string_view(p.what));
  };
  std::sort(problems.begin(), problems.end(),
            [&](const Problem& a, const Problem& b) { return key(a) < key(b); });
  std::vector<std::string> lines;
  for (Problem& problem : problems) {
    problem.what.insert(0, mark);
    std::string line = problem.Line();
    if (lines.empty() || lines.back() != line) lines.push_back(std::move(line));
  }
  return lines;
}

void AppendJsonString(std::string& out, std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  out += '"';
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

// RFC 8259 §6.
bool IsJsonNumber(std::string_view text) {
  size_t i = 0;
  auto digits = [&] {
    size_t from = i;
    while (i < text.size() && text[i] >= '0' && text[i] <= '9') ++i;
    return i - from;
  };
  if (i < text.size() && text[i] == '-') ++i;
  size_t first = i;
  size_t whole = digits();
  if (whole == 0 || (whole > 1 && text[first] == '0')) return false;
  if (i < text.size() && text[i] == '.') {
    ++i;
    if (digits() == 0) return false;
  }
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
    if (digits() == 0) return false;
  }
  return i == text.size();
}

// Recursion is bounded by kMaxYamlDepth.
void AppendJson(std::string& out, const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull: out += "null"; break;
    case Node::Kind::kScalar:
      if (!node.quoted && (node.text == "true" || node.text == "false" || node.text == "null" ||
                           IsJsonNumber(node.text))) {
        out += node.text;
      } else {
        AppendJsonString(out, node.text);
      }
      break;
    case Node::Kind::kSequence:
      out += '[';
      for (const Node& item : node.items) {
        if (&item != &node.items.front()) out += ',';
        AppendJson(out, item);
      }
      out += ']';
      break;
    case Node::Kind::kMap:
      out += '{';
      for (const Node::Entry& entry : node.entries) {
        if (&entry != &node.entries.front()) out += ',';
        AppendJsonString(out, entry.key);
        out += ':';
        AppendJson(out, entry.value);
      }
      out += '}';
      break;
  }
}

}  // namespace

std::string Place::Text() const {
  std::string text = file ? *file : "config";
  if (line == 0) return text;
  return text + ":" + std::to_string(line) + ":" + std::to_string(column);
}

std::string Problem::Line() const {
  return place.Text() + ": " + what;
}

void Problems::Add(Place place, std::string what) {
  errors_.push_back({std::move(place), std::move(what)});
}

void Problems::Warn(Place place, std::string what) {
  warnings_.push_back({std::move(place), std::move(what)});
}

std::vector<std::string> Problems::ErrorLines() const {
  return SortedLines(errors_, "");
}

std::vector<std::string> Problems::WarningLines() const {
  return SortedLines(warnings_, "warning: ");
}

const Node* Node::Find(std::string_view key) const {
  for (const Entry& entry : entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

std::string RenderJson(const Node& node) {
  std::string out;
  AppendJson(out, node);
  return out;
}

}  // namespace relay
