// SPDX-License-Identifier: MIT
#include "core/config/json_node.h"

#include <utility>

namespace relay {
namespace {

Result<Node> ConvertObject(const JsonIndex& object, const Place& place);

Result<Node> Convert(const JsonValue& value, const Place& place) {
  Node node;
  node.place = place;
  node.from_outside = true;
  switch (value.kind) {
    case JsonKind::kAbsent:
    case JsonKind::kNull: return node;
    case JsonKind::kBool:
    case JsonKind::kNumber:
      node.kind = Node::Kind::kScalar;
      node.text = value.raw;
      return node;
    case JsonKind::kString:
      node.kind = Node::Kind::kScalar;
      node.text = value.String().value_or("");
      node.quoted = true;
      return node;
    case JsonKind::kArray:
      node.kind = Node::Kind::kSequence;
      for (JsonArray items(value); JsonValue item = items.Next();) {
        Result<Node> converted = Convert(item, place);
        if (!converted) return converted;
        node.items.push_back(std::move(*converted));
      }
      return node;
    case JsonKind::kObject: break;
  }
  Result<JsonIndex> object = JsonIndex::Object(value);
  if (!object) return std::unexpected(std::move(object.error()));
  return ConvertObject(*object, place);
}

Result<Node> ConvertObject(const JsonIndex& object, const Place& place) {
  Node node;
  node.kind = Node::Kind::kMap;
  node.place = place;
  node.from_outside = true;
  for (const JsonField& field : object.fields()) {
    Result<Node> value = Convert(object.Value(field), place);
    if (!value) return value;
    node.entries.push_back({object.Key(field), place, std::move(*value)});
  }
  return node;
}

}  // namespace

Result<Node> NodeOfJson(const JsonIndex& object, const std::string& name) {
  return ConvertObject(object, Place{std::make_shared<const std::string>(name)});
}

}  // namespace relay
