// SPDX-License-Identifier: MIT
// A configuration as a tree of our own: every value knows its file, line and column, so that each
// complaint can name them. Problems collects all complaints of one run; nothing stops at the first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace relay {

// Where something stands. Lines and columns (in bytes) count from 1; line 0 means the whole file.
struct Place {
  std::shared_ptr<const std::string> file;  // as the user named it: "relay.yaml"; may be null
  uint32_t line = 0;
  uint32_t column = 0;

  // "relay.yaml:4:7", or "relay.yaml" for the whole file.
  std::string Text() const;
};

struct Problem {
  Place place;
  std::string what;

  // "relay.yaml:4:7: unknown key …"
  std::string Line() const;
};

// What is wrong (the configuration is refused) and what is only worth a word (it loads).
class Problems {
 public:
  void Add(Place place, std::string what);
  void Warn(Place place, std::string what);

  bool failed() const { return !errors_.empty(); }
  size_t size() const { return errors_.size(); }
  // Both sorted by line and column, doubled ones left out; warnings say "warning: " after the
  // place.
  std::vector<std::string> ErrorLines() const;
  std::vector<std::string> WarningLines() const;

 private:
  std::vector<Problem> errors_;
  std::vector<Problem> warnings_;
};

class Node {
 public:
  enum class Kind : uint8_t { kNull, kScalar, kSequence, kMap };
  struct Entry;

  Kind kind = Kind::kNull;
  Place place;  // of the value; of its key where the value is empty

  // Scalars, after ${…} was replaced.
  std::string text;
  bool quoted = false;  // "…", '…', | or >: never a number or bool in JSON
  // Some of the text came from the environment or a file, not from this one: no inline secret.
  bool from_outside = false;
  // The variable whose lack left the text empty, as `${NAME:=}` allows. The value counts as not
  // given.
  std::string emptied_by;
  // A complaint about this node was made already; who reads it stays silent.
  bool broken = false;

  std::vector<Node> items;     // sequences
  std::vector<Entry> entries;  // maps, in order, keys unique

  bool IsNull() const { return kind == Kind::kNull; }
  bool IsScalar() const { return kind == Kind::kScalar; }
  bool IsSequence() const { return kind == Kind::kSequence; }
  bool IsMap() const { return kind == Kind::kMap; }
  // A scalar that became empty because a variable is not set.
  bool Emptied() const { return IsScalar() && text.empty() && !emptied_by.empty(); }
  // The value of `key`, null when this is no map or has no such key.
  const Node* Find(std::string_view key) const;
};

struct Node::Entry {
  std::string key;
  Place key_place;
  Node value;
};

// The node as JSON text, for bodies of tests: quoted scalars are strings; plain ones are numbers,
// true, false and null where they are spelt as JSON spells them, else strings.
std::string RenderJson(const Node& node);

}  // namespace relay
