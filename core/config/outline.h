// SPDX-License-Identifier: MIT
// What a relay.yaml says, field by field and without its secrets: to tell in words how two differ.
// It is taken from the tree and the declarations that read it, so a new field is in it by itself.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/base/secret.h"
#include "core/config/node.h"
#include "core/config/shape.h"

namespace relay {

class Outline {
 public:
  // {"keys", "alice", "limits", "concurrency"}. Things that have a name stand under it, whatever
  // place they have in a list.
  using Path = std::vector<std::string>;
  struct Entry {
    bool thing = false;  // a key, an account, a route, …: what it holds stands below its path
    std::string shown;   // its text; "" where that is not to be told
    Digest256 digest{};  // of the text; means something in this process only
  };

  // Of a tree that was read without complaint. What is not given has its default.
  static Outline Of(const Node& root, const Shape& shape);

  // With all that stands below.
  void Remove(const Path& path);
  // At that path and below, it is what `other` is.
  void Copy(const Path& path, const Outline& other);
  const std::map<Path, Entry>& entries() const { return entries_; }

 private:
  class Builder;
  std::map<Path, Entry> entries_;
};

struct OutlineChange {
  Outline::Path path;
  std::string text;  // "key 'alice': limits.concurrency 40 -> 20", "account 'claude/b' is added"
};

// In the order of paths; a thing that came or went is one change.
std::vector<OutlineChange> DiffOutlines(const Outline& before, const Outline& after);

}  // namespace relay
