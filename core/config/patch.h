// SPDX-License-Identifier: MIT
// Objects that the API makes and changes, in JSON with the words of relay.yaml: bound by the Bind
// that reads the file, and changed by a merge patch (RFC 7396).
#pragma once

#include <string>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/config/fields.h"
#include "core/config/json_node.h"

namespace relay {

// Puts the fields of `patch` over those of `node`; null takes one away.
void MergePatch(Node& node, const Node& patch);
// All that is wrong, in one line, without the place, which is that of `node`.
Error ProblemsOf(const Problems& problems, const Node& node);

// Errors (kClient) say all that is wrong.
template <class T>
Result<T> BindJson(const Node& node) {
  T value;
  Problems problems;
  if (ReadStruct(node, "", problems, value)) return value;
  return std::unexpected(ProblemsOf(problems, node));
}
template <class T>
Result<T> BindJson(const JsonIndex& object) {
  Result<Node> node = NodeOfJson(object, "object");
  if (!node) return std::unexpected(std::move(node.error()));
  return BindJson<T>(*node);
}

// What `patch` does not name stays, null takes away. Errors as above. What Fields does not write
// (secrets) is gone unless `patch` names it.
template <class T>
Result<T> PatchStruct(const T& value, const JsonIndex& patch) {
  const std::string written = WriteStruct(value);
  Result<JsonIndex> object = JsonIndex::Parse(written);
  if (!object) return std::unexpected(std::move(object.error()));
  Result<Node> node = NodeOfJson(*object, "object");
  if (!node) return std::unexpected(std::move(node.error()));
  Result<Node> changes = NodeOfJson(patch, "object");
  if (!changes) return std::unexpected(std::move(changes.error()));
  MergePatch(*node, *changes);
  return BindJson<T>(*node);
}

}  // namespace relay
