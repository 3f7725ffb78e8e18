// SPDX-License-Identifier: MIT
#include "core/config/patch.h"

#include <algorithm>

namespace relay {

void MergePatch(Node& node, const Node& patch) {
  for (const Node::Entry& entry : patch.entries) {
    auto at = std::ranges::find(node.entries, entry.key, &Node::Entry::key);
    if (entry.value.IsNull()) {
      if (at != node.entries.end()) node.entries.erase(at);
      continue;
    }
    bool known = at != node.entries.end();
    if (!known) {
      node.entries.push_back({entry.key, entry.key_place, Node()});
      at = node.entries.end() - 1;
    }
    if (!entry.value.IsMap()) {
      at->value = entry.value;
      continue;
    }
    if (!at->value.IsMap()) {
      at->value = Node();
      at->value.kind = Node::Kind::kMap;
      at->value.place = entry.value.place;
    }
    MergePatch(at->value, entry.value);
    // A map of which nothing is left says nothing.
    if (known && at->value.entries.empty()) node.entries.erase(at);
  }
}

Error ProblemsOf(const Problems& problems, const Node& node) {
  std::string text;
  const std::string head = node.place.Text() + ": ";
  for (const std::string& line : problems.ErrorLines()) {
    text += (text.empty() ? "" : "; ") + line.substr(line.starts_with(head) ? head.size() : 0);
  }
  return Error{Party::kClient, Fault::kMalformed, text};
}

}  // namespace relay
