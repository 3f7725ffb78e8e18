// SPDX-License-Identifier: MIT
#include "core/config/describe.h"

#include <algorithm>
#include <utility>

namespace relay {
namespace {

void AppendQuoted(std::string& out, std::string_view text) {
  out += '"';
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

std::string Quoted(std::string_view text) {
  std::string out;
  AppendQuoted(out, text);
  return out;
}

std::string Joined(const std::vector<std::string>& words, std::string_view between) {
  std::string text;
  for (const std::string& word : words) {
    if (&word != &words.front()) text += between;
    text += word;
  }
  return text;
}

std::string_view KindText(Shape::Kind kind) {
  switch (kind) {
    case Shape::Kind::kBool: return "true or false";
    case Shape::Kind::kInteger: return "whole number";
    case Shape::Kind::kNumber: return "number";
    case Shape::Kind::kText: return "text";
    case Shape::Kind::kDuration: return "duration";
    case Shape::Kind::kBytes: return "size";
    case Shape::Kind::kBytesOrShare: return "size or share";
    case Shape::Kind::kHostPort: return "host:port";
    case Shape::Kind::kUrl: return "URL";
    case Shape::Kind::kSecret: return "secret";
    case Shape::Kind::kAny: return "any YAML";
    case Shape::Kind::kStruct: return "map";
    case Shape::Kind::kList: return "list";
    case Shape::Kind::kMap: return "map of names";
  }
  return "";
}

// "whole number 1..64, or auto", "list of text", "json | text"
std::string TypeText(const Shape& shape) {
  bool only_words = shape.kind == Shape::Kind::kText && !shape.words.empty();
  if (only_words) return Joined(shape.words, " | ");
  std::string text(KindText(shape.kind));
  if (!shape.item.empty()) {
    const Shape& item = shape.item.front();
    bool named = item.kind == Shape::Kind::kStruct;
    if (shape.kind == Shape::Kind::kList) text += " of " + (named ? "maps" : TypeText(item));
    if (shape.kind == Shape::Kind::kMap) text += " to " + (named ? "maps" : TypeText(item));
    if (shape.one_or_many) text += ", or one alone";
  }
  if (shape.range) text += " " + shape.range->Text();
  if (!shape.must.empty()) text += " (" + shape.must + ")";
  if (!shape.words.empty()) text += ", or " + Joined(shape.words, " or ");
  return text;
}

void AppendFields(std::string& out, const Shape& shape, size_t indent) {
  size_t widest = 0;
  for (const FieldShape& field : shape.fields) widest = std::max(widest, field.name.size());
  for (const FieldShape& field : shape.fields) {
    out.append(indent, ' ');
    out += field.name;
    out.append(widest - field.name.size() + 2, ' ');
    out += TypeText(field.shape);
    if (field.required) {
      out += " (required)";
    } else if (!field.default_text.empty()) {
      out += " (default " + field.default_text + ")";
    }
    if (!field.doc.empty()) out += ": " + field.doc;
    out += '\n';
    const Shape* inner = &field.shape;
    while (!inner->item.empty()) inner = &inner->item.front();
    AppendFields(out, *inner, indent + 2);
  }
}

// --- JSON schema -----------------------------------------------------------------------------

// Members of one JSON object.
class Object {
 public:
  void Add(std::string_view name, std::string_view json) {
    text_ += text_.empty() ? "{" : ",";
    AppendQuoted(text_, name);
    text_ += ':';
    text_ += json;
  }
  std::string Text() const { return text_.empty() ? "{}" : text_ + "}"; }

 private:
  std::string text_;
};

constexpr std::string_view kVariable = R"({"type":"string","pattern":"\\$\\{"})";

std::string Pattern(std::string_view json_pattern) {
  Object object;
  object.Add("type", "\"string\"");
  object.Add("pattern", json_pattern);
  return object.Text();
}

std::string AnyOf(const std::vector<std::string>& schemas) {
  if (schemas.size() == 1) return schemas.front();
  return "{\"anyOf\":[" + Joined(schemas, ",") + "]}";
}

std::string WordsSchema(const std::vector<std::string>& words) {
  std::string list = "[";
  for (const std::string& word : words) {
    if (list.size() > 1) list += ',';
    AppendQuoted(list, word);
  }
  Object object;
  object.Add("enum", list + "]");
  return object.Text();
}

std::string NumberSchema(const Shape& shape) {
  Object object;
  bool whole = shape.kind == Shape::Kind::kInteger;
  object.Add("type", whole ? "\"integer\"" : "\"number\"");
  if (shape.range) {
    const Range& range = *shape.range;
    object.Add("minimum", whole ? std::to_string(range.low_whole) : FormatNumber(range.low_number));
    object.Add("maximum",
               whole ? std::to_string(range.high_whole) : FormatNumber(range.high_number));
  }
  return object.Text();
}

std::string DefaultJson(const FieldShape& field) {
  Shape::Kind kind = field.shape.kind;
  bool bare = (kind == Shape::Kind::kInteger && ParseInteger(field.default_text)) ||
              (kind == Shape::Kind::kNumber && ParseNumber(field.default_text)) ||
              kind == Shape::Kind::kBool;
  return bare ? field.default_text : Quoted(field.default_text);
}

std::string StructSchema(const Shape& shape) {
  Object properties;
  std::string required;
  for (const FieldShape& field : shape.fields) {
    std::string schema = PrintJsonSchemaPart(field.shape);
    // A list's default is printed as YAML, not as JSON.
    bool has_default = !field.default_text.empty() && field.shape.kind != Shape::Kind::kList;
    if (!field.doc.empty() || has_default) {
      // Both are annotations: any schema takes them beside its own members.
      Object notes;
      if (!field.doc.empty()) notes.Add("description", Quoted(field.doc));
      if (has_default) notes.Add("default", DefaultJson(field));
      std::string head = notes.Text();
      head.back() = schema == "{}" ? '}' : ',';
      if (schema != "{}") head.append(schema, 1);
      schema = std::move(head);
    }
    properties.Add(field.name, schema);
    if (field.required) required += (required.empty() ? "" : ",") + Quoted(field.name);
  }
  Object object;
  object.Add("type", "\"object\"");
  object.Add("properties", properties.Text());
  if (!required.empty()) object.Add("required", "[" + required + "]");
  object.Add("additionalProperties", "false");
  return object.Text();
}

std::string TextSchema(const Shape& shape) {
  if (!shape.words.empty()) return AnyOf({WordsSchema(shape.words), std::string(kVariable)});
  // YAML reads 5 and true as no text, and so do editors; they are text here all the same.
  Object object;
  object.Add("type", R"(["string","number","boolean"])");
  if (shape.non_empty) object.Add("minLength", "1");
  return object.Text();
}

std::string ListSchema(const Shape& shape) {
  std::string item = PrintJsonSchemaPart(shape.item.front());
  Object list;
  list.Add("type", "\"array\"");
  list.Add("items", item);
  if (shape.non_empty) list.Add("minItems", "1");
  return shape.one_or_many ? AnyOf({list.Text(), item}) : list.Text();
}

std::string MapSchema(const Shape& shape) {
  Object map;
  map.Add("type", "\"object\"");
  map.Add("additionalProperties", PrintJsonSchemaPart(shape.item.front()));
  if (shape.non_empty) map.Add("minProperties", "1");
  return map.Text();
}

}  // namespace

std::string PrintReference(const Shape& shape, int indent) {
  std::string out;
  AppendFields(out, shape, static_cast<size_t>(indent));
  return out;
}

std::string PrintJsonSchemaPart(const Shape& shape) {
  const std::string variable(kVariable);
  std::vector<std::string> schemas;
  switch (shape.kind) {
    case Shape::Kind::kAny: return "{}";
    case Shape::Kind::kText: return TextSchema(shape);
    case Shape::Kind::kHostPort:
    case Shape::Kind::kUrl:
    case Shape::Kind::kSecret: return R"({"type":"string"})";
    case Shape::Kind::kList: return ListSchema(shape);
    case Shape::Kind::kMap: return MapSchema(shape);
    case Shape::Kind::kStruct: schemas = {StructSchema(shape)}; break;
    case Shape::Kind::kBool: schemas = {R"({"type":"boolean"})", variable}; break;
    case Shape::Kind::kInteger:
    case Shape::Kind::kNumber: schemas = {NumberSchema(shape), variable}; break;
    case Shape::Kind::kDuration: schemas = {Pattern(R"("^[0-9]+(ms|s|m|h|d)$")"), variable}; break;
    case Shape::Kind::kBytes:
      schemas = {Pattern(R"("^[0-9]+([KMG]iB|[kKMG]?B)$")"), variable};
      break;
    case Shape::Kind::kBytesOrShare:
      schemas = {Pattern(R"("^[0-9]+([KMG]iB|[kKMG]?B|%)$")"), variable};
      break;
  }
  if (!shape.words.empty()) schemas.push_back(WordsSchema(shape.words));
  return AnyOf(schemas);
}

std::string PrintJsonSchema(const Shape& shape, std::string_view title) {
  Object head;
  head.Add("$schema", "\"https://json-schema.org/draft/2020-12/schema\"");
  head.Add("title", Quoted(title));
  std::string text = head.Text();
  text.back() = ',';
  return text + PrintJsonSchemaPart(shape).substr(1);
}

}  // namespace relay
