// SPDX-License-Identifier: MIT
// A text as relay.yaml: it is read within bounds, every complaint has a place in it, and what was
// read without one is read to the same again when it is written down as JSON, which YAML is.
#include <map>

#include "core/config/root.h"
#include "core/config/yaml.h"
#include "tests/fuzz/fuzz.h"

namespace relay {
namespace {

// Nothing of the machine's, so that a run can be repeated.
std::optional<std::string> Variable(std::string_view name) {
  static const std::map<std::string_view, std::string> kVariables = {
      {"KEY", "sk-relay-0123456789abcdef0123456789abcdef"},
      {"PORT", "8080"},
      {"EMPTY", ""},
      {"LINES", "a: b\n- c: {\n"},
      {"MARK", "${KEY}"}};
  auto found = kVariables.find(name);
  if (found == kVariables.end()) return std::nullopt;
  return found->second;
}

struct Size {
  size_t nodes = 0;
  int depth = 0;
};

void Measure(const Node& node, int depth, uint32_t lines, Size& size) {
  ++size.nodes;
  size.depth = std::max(size.depth, depth);
  Check(node.place.line <= lines, "a place behind the end");
  for (const Node& item : node.items) Measure(item, depth + 1, lines, size);
  for (size_t i = 0; i < node.entries.size(); ++i) {
    Measure(node.entries[i].value, depth + 1, lines, size);
    for (size_t j = 0; j < i && j < 64; ++j) {
      Check(node.entries[i].key != node.entries[j].key, "a key twice", node.entries[i].key);
    }
  }
}

Node Parse(std::string_view text, Problems& problems) {
  return ParseYaml({text, "relay.yaml", "/nonexistent", Variable}, problems);
}

// "relay.yaml:4:7: …" within the text, or the whole file.
void CheckLine(const std::string& line, uint32_t lines) {
  Check(line.starts_with("relay.yaml:"), "a complaint without the file's name", line);
  Check(line.find('\n') == std::string::npos, "a complaint of two lines", line);
  size_t at = std::string_view("relay.yaml:").size();
  size_t number = 0;
  while (at < line.size() && line[at] >= '0' && line[at] <= '9') {
    number = number * 10 + static_cast<size_t>(line[at++] - '0');
    Check(number <= lines, "a complaint behind the end", line);
  }
}

}  // namespace

void Fuzz(std::string_view input) {
  uint32_t lines = 2;  // of the text that ends in a line end, and what stands behind it
  for (char c : input) lines += c == '\n' || c == '\r' ? 1 : 0;

  Problems problems;
  Node node = Parse(input, problems);
  Size size;
  Measure(node, 0, lines, size);
  Check(size.nodes <= kMaxYamlNodes + 1 && size.nodes <= input.size() * 2 + 2, "too many nodes");
  Check(size.depth <= kMaxYamlDepth + 1, "too deep");
  for (const std::string& line : problems.ErrorLines()) CheckLine(line, lines);
  if (!problems.failed()) {
    std::string json = RenderJson(node);
    // A literal ${ would be read as a variable the second time.
    if (json.find("${") == std::string::npos) {
      Problems none;
      Node again = Parse(json, none);
      Check(!none.failed(), "what was written down is not read", json);
      Check(RenderJson(again) == json, "what was written down is read otherwise", json);
    }
  }

  Problems complaints;
  std::shared_ptr<const Config> config =
      LoadConfigText(input, "relay.yaml", "/nonexistent", Variable, complaints);
  Check(config != nullptr, "no config at all");
  for (const std::string& line : complaints.ErrorLines()) CheckLine(line, lines);
  Check(complaints.failed() || !problems.failed(), "a text that is not YAML was loaded");
  for (const std::string& line : ReportLines(*config, complaints)) {
    Check(line.find('\n') == std::string::npos, "a report of two lines", line);
  }
}

}  // namespace relay
