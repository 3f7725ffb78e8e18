// SPDX-License-Identifier: MIT
#include "admin/field_options.h"

#include <algorithm>
#include <map>

#include "core/config/units.h"

namespace relay {
namespace {

using Kind = Shape::Kind;

std::vector<std::string> SplitAt(std::string_view text, char mark) {
  std::vector<std::string> parts;
  while (true) {
    size_t end = std::min(text.find(mark), text.size());
    parts.emplace_back(text.substr(0, end));
    if (end == text.size()) return parts;
    text.remove_prefix(end + 1);
  }
}

const Shape* FieldOf(const Shape& shape, std::string_view name) {
  for (const FieldShape& field : shape.fields) {
    if (field.name == name) return &field.shape;
  }
  return nullptr;
}

std::string ScalarJson(const Shape* shape, const std::string& text) {
  if (text == "none") return "null";
  bool number = shape != nullptr && (shape->kind == Kind::kInteger || shape->kind == Kind::kNumber);
  if (number && (ParseNumber(text) || ParseInteger(text))) return text;
  bool flag = shape != nullptr && shape->kind == Kind::kBool;
  if (flag && ParseBool(text)) return text;
  return JsonString(text);
}

std::string ListJson(const Shape* item, const std::vector<std::string>& texts) {
  JsonText json;
  json.BeginArray();
  for (const std::string& text : texts) json.Raw(ScalarJson(item, text));
  return json.EndArray().Take();
}

std::unexpected<std::string> NoPart(const std::string& option, const std::string& text) {
  return std::unexpected("--" + option + " must be like name=value,name=value, not '" + text + "'");
}

// "a=1,b=x,b=y"
std::expected<std::string, std::string> PartJson(const Shape& shape, const std::string& option,
                                                 const std::string& text) {
  std::vector<std::pair<std::string, std::vector<std::string>>> values;
  for (const std::string& pair : SplitAt(text, ',')) {
    size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0) {
      return NoPart(option, text);
    }
    std::string name = pair.substr(0, equals);
    auto at = std::ranges::find(values, name, &decltype(values)::value_type::first);
    if (at == values.end()) at = values.insert(at, {name, {}});
    at->second.push_back(pair.substr(equals + 1));
  }
  JsonText json;
  json.BeginObject();
  for (const auto& [name, texts] : values) {
    const Shape* field = shape.kind == Kind::kMap ? &shape.item.front() : FieldOf(shape, name);
    bool list = texts.size() > 1 || (field != nullptr && field->kind == Kind::kList);
    if (texts.size() == 1 && texts[0] == "none") list = false;
    const Shape* item = field != nullptr && !field->item.empty() ? &field->item.front() : field;
    json.Key(name).Raw(list ? ListJson(item, texts) : ScalarJson(field, texts.front()));
  }
  return json.EndObject().Take();
}

}  // namespace

std::string ValueText(const JsonValue& value) {
  if (value.Is(JsonKind::kString)) return value.String().value_or("");
  std::string text;
  if (value.Is(JsonKind::kArray)) {
    for (JsonArray items(value); JsonValue item = items.Next();) {
      text += (text.empty() ? "" : ",") + ValueText(item);
    }
    return text;
  }
  Result<JsonIndex> object = JsonIndex::Object(value);
  if (!object) return std::string(value.raw);
  for (const JsonField& field : object->fields()) {
    text += (text.empty() ? "" : " ") + object->Key(field) + "=" + ValueText(object->Value(field));
  }
  return text;
}

std::string FieldsText(const JsonValue& object) {
  Result<JsonIndex> index = JsonIndex::Object(object);
  std::string text;
  for (const JsonField& field : index ? index->fields() : std::span<const JsonField>()) {
    text += (text.empty() ? "" : "; ") + index->Key(field) + ": " + ValueText(index->Value(field));
  }
  return text;
}

std::expected<void, std::string> WriteFieldOptions(const Shape& shape, const FieldOptions& fields,
                                                   JsonText& json) {
  std::map<std::string, bool> seen;
  for (const auto& [name, text] : fields) {
    if (seen[name]) return std::unexpected("--" + name + " is given twice");
    seen[name] = true;
    const Shape* field = FieldOf(shape, name);
    json.Key(name);
    if (text == "none" || field == nullptr) {
      json.Raw(ScalarJson(field, text));
    } else if (field->kind == Kind::kList) {
      json.Raw(ListJson(&field->item.front(), SplitAt(text, ',')));
    } else if ((field->kind == Kind::kStruct || field->kind == Kind::kMap) &&
               (field->words.empty() || text.find('=') != std::string::npos)) {
      auto part = PartJson(*field, name, text);
      if (!part) return std::unexpected(part.error());
      json.Raw(*part);
    } else {
      json.Raw(ScalarJson(field, text));
    }
  }
  return {};
}

}  // namespace relay
