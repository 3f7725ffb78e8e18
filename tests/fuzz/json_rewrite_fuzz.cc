// SPDX-License-Identifier: MIT
// A request's body into the JSON index, and edits on it: what is taken is JSON to a second reader
// too and has no field twice; an edited body differs at the edit alone and is JSON again; the same
// edit once more changes nothing; the side reader finds the index's values in any pieces.
#include <optional>

#include "core/base/json.h"
#include "core/base/json_picker.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reference_json.h"

namespace relay {
namespace {

std::string Applied(const Edits& edits, std::string_view text) {
  std::string plain = edits.Apply(text);
  Check(edits.SizeAfter(text.size()) == plain.size(), "another size than promised", plain);
  Buffer buffer;
  edits.Apply(Chunk::Static(text), buffer);
  Check(buffer.ToString() == plain, "the slices are another text", plain);
  return plain;
}

JsonIndex MustParse(std::string_view text) {
  Result<JsonIndex> index = JsonIndex::Parse(text);
  Check(index.has_value(), "an edited body is not JSON", text);
  Check(ReadJsonObject(text).has_value(), "an edited body is not JSON to the reference", text);
  return std::move(*index);
}

// Every field but `changed` has the bytes it had, in the order in which it was.
void CheckOthers(const JsonIndex& before, const JsonIndex& after, std::string_view changed) {
  std::vector<std::pair<std::string, std::string_view>> was;
  std::vector<std::pair<std::string, std::string_view>> is;
  for (const JsonField& field : before.fields()) {
    if (before.Key(field) != changed) was.emplace_back(before.Key(field), before.Value(field).raw);
  }
  for (const JsonField& field : after.fields()) {
    if (after.Key(field) != changed) is.emplace_back(after.Key(field), after.Value(field).raw);
  }
  Check(was == is, "another field changed", after.text());
}

void TrySet(const JsonIndex& index, std::string_view name, const std::string& json) {
  Edits edits;
  edits.Set(index, name, json);
  std::string after = Applied(edits, index.text());
  JsonIndex changed = MustParse(after);
  Check(changed.Find(name).raw == json, "the field has another value", after);
  CheckOthers(index, changed, name);
  if (const JsonField* field = index.FindField(name)) {
    std::string expected(index.text().substr(0, field->value_begin));
    expected.append(json).append(index.text().substr(field->value_end));
    Check(after == expected, "more than the value changed", after);
  }
  Edits again;
  again.Set(changed, name, json);
  Check(Applied(again, after) == after, "the second edit changes something", after);
  Edits undo;
  undo.Remove(changed, name);
  std::string without = Applied(undo, after);
  Check(!MustParse(without).Find(name), "the field is still there", without);
  if (!index.FindField(name)) {
    Check(without == index.text(), "add and remove leave a trace", without);
  }
}

void TryRemove(const JsonIndex& index, const std::string& name) {
  Edits edits;
  edits.Remove(index, name);
  std::string after = Applied(edits, index.text());
  JsonIndex changed = MustParse(after);
  Check(!changed.Find(name), "the field is still there", after);
  Check(changed.fields().size() + 1 == index.fields().size(), "another number of fields", after);
  CheckOthers(index, changed, name);
}

void CheckFields(const JsonIndex& index, const ReferenceObject& reference) {
  Check(index.fields().size() == reference.size(), "more or fewer fields", index.text());
  for (size_t i = 0; i < reference.size(); ++i) {
    const JsonField& field = index.fields()[i];
    Check(index.Key(field) == reference[i].first, "another name", reference[i].first);
    Check(index.Value(field).raw == reference[i].second, "another value", reference[i].second);
  }
}

// "model" and "a" of every object in the list "messages".
const JsonPaths& Paths() {
  static const JsonPaths kPaths = {{"model", 4096}, {"messages.[].role", 4096}};
  return kPaths;
}

std::string Pick(const CutText& pieces) {
  JsonPicker picker(Paths());
  std::string picked;
  for (std::string_view piece : pieces) {
    picker.Feed(piece, [&](const JsonPicker::Found& found) {
      picked += std::to_string(found.path) + "=" + std::string(found.raw) + "#" +
                std::to_string(found.size) + "\n";
    });
  }
  return picked + (picker.complete() ? "complete" : "");
}

void CheckPicked(std::string_view input, const JsonIndex* index) {
  std::string whole = Pick({input});
  for (int way = 1; way < kCuts; ++way) {
    Check(Pick(Cut(input, way)) == whole, "the pieces matter to the side reader", whole);
  }
  if (index == nullptr) return;
  Check(whole.ends_with("complete"), "the side reader misses the end", whole);
  const JsonField* model = index->FindField("model");
  if (model == nullptr || model->key_escaped) return;
  std::string_view raw = index->Value(*model).raw;
  bool plain = model->kind != JsonKind::kObject && model->kind != JsonKind::kArray;
  if (plain && raw.size() <= 4096) {
    Check(("\n" + whole).find("\n0=" + std::string(raw) + "#") != std::string::npos,
          "the side reader finds another value", whole);
  }
}

}  // namespace

void Fuzz(std::string_view input) {
  Result<JsonIndex> index = JsonIndex::Parse(input);
  std::optional<ReferenceObject> reference = ReadJsonObject(input);
  Check(index.has_value() == reference.has_value(), "taken or not",
        index ? "taken" : index.error().what);
  CheckPicked(input, index ? &*index : nullptr);
  if (!index) {
    Check(index.error().fault == Fault::kMalformed, "bad JSON is malformed");
    return;
  }
  CheckFields(*index, *reference);
  if (index->fields().size() < JsonIndex::kMaxFields) {
    TrySet(*index, "model", JsonString("n\"\xc3\xa4\n"));
    TrySet(*index, "added", R"({"deep":[1,2e3,null]})");
  }
  Dice dice(input);
  if (index->fields().empty()) return;
  TryRemove(*index, index->Key(index->fields()[dice.Roll(index->fields().size())]));
  TrySet(*index, index->Key(index->fields()[dice.Roll(index->fields().size())]), "-0.5E+7");
  for (const JsonField& field : index->fields()) {
    JsonValue value = index->Value(field);
    if (value.Is(JsonKind::kString)) {
      std::optional<std::string> text = value.String();
      Check(text && value.Equals(*text), "a string is not equal to itself", value.raw);
    }
    size_t items = 0;
    for (JsonArray list(value); JsonValue item = list.Next();) {
      Check(input.substr(item.offset, item.raw.size()) == item.raw, "an element's place is wrong");
      ++items;
    }
    Check(value.Is(JsonKind::kArray) || items == 0, "elements of what is no array");
    if (!value.Is(JsonKind::kObject)) continue;
    Result<JsonIndex> inner = JsonIndex::Object(value);
    // A field twice is refused wherever it is read.
    Check(inner.has_value() == ReadJsonObject(value.raw).has_value(), "taken or not, inside");
    if (inner) TrySet(*index, index->Key(field), std::string(value.raw));
  }
}

}  // namespace relay
