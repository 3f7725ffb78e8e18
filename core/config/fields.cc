// SPDX-License-Identifier: MIT
#include "core/config/fields.h"

#include <algorithm>

#include "core/config/wording.h"

namespace relay {

Fields::Fields(const Node& node, std::string label, Problems& problems)
    : node_(&node), problems_(&problems), label_(std::move(label)) {}

Fields::Fields(Shape& shape) : shape_(&shape) {}

Fields::Fields(JsonText& json) : json_(&json) {}

void Fields::Title(std::string_view kind) {
  if (describing()) return;
  label_ = kind;
  std::string name = own_name_;
  if (name.empty()) {
    const Node* node = node_->Find("name");
    if (node && node->IsScalar() && !node->broken) name = node->text;
  }
  if (!name.empty()) label_ += " " + Quote(name);
}

bool Fields::AsWord(const OneOf& words, std::string& value) {
  if (describing()) {
    if (shape_ != nullptr) shape_->words.assign(words.words.begin(), words.words.end());
    return false;
  }
  if (!node_->IsScalar()) return false;
  opened_ = true;
  if (node_->broken || node_->Emptied()) return true;
  if (std::find(words.words.begin(), words.words.end(), node_->text) != words.words.end()) {
    value = node_->text;
  } else {
    RefuseNode("must be " + Listed(words.words) + ", or a map, not " + Shown(*node_) +
               DidYouMean(node_->text, words.words));
  }
  return true;
}

void Fields::NotBuilt(std::string_view name) {
  if (describing()) return;
  known_.push_back({std::string(name), false, false});
  if (!Open()) return;
  for (const Node::Entry& entry : node_->entries) {
    if (entry.key == name) {
      problems_->Add(entry.key_place, Quote(name) + " is not built yet; remove it");
    }
  }
}

bool Fields::Open() {
  if (opened_) return readable_;
  opened_ = true;
  readable_ = node_->IsMap() && !node_->broken;
  if (!readable_ && !node_->broken) {
    if (node_->IsNull()) {
      RefuseNode("is empty; remove it or give it a value");
    } else {
      // What comes from the environment may be a secret in the wrong place.
      bool outside = node_->IsScalar() && node_->from_outside;
      RefuseNode("must be a map (name: value), not " +
                 (outside ? std::string("a single value") : Shown(*node_)));
    }
  }
  return readable_;
}

const Node* Fields::Begin(std::string_view name, bool required) {
  known_.push_back({std::string(name), true, false});
  if (!Open()) return nullptr;
  const Node* node = node_->Find(name);
  if (!node) {
    if (required) missing_.emplace_back(name);
    return nullptr;
  }
  if (node->broken) return nullptr;
  if (node->Emptied()) {
    if (required) {
      problems_->Add(node->place,
                     Quote(name) + " is empty: " + node->emptied_by + " is not set, or empty");
    }
    return nullptr;
  }
  return node;
}

void Fields::CheckKey(const Node::Entry& entry, const FieldRule& rule) {
  for (const Fits& fits : rule.fits) {
    if (fits.test(entry.key)) continue;
    problems_->Add(entry.key_place, "the name " + Quote(entry.key) + " " + std::string(fits.must));
  }
}

void Fields::AddShape(std::string_view name, bool required, const FieldRule& rule, Shape shape,
                      std::string default_text) {
  FieldShape field;
  field.name = name;
  field.doc = rule.doc;
  field.required = required;
  field.default_text = std::move(default_text);
  auto whole = shape.kind == Shape::Kind::kInteger ? ParseInteger(field.default_text)
                                                   : std::unexpected(Unfit::kSyntax);
  auto number = shape.kind == Shape::Kind::kNumber ? ParseNumber(field.default_text)
                                                   : std::unexpected(Unfit::kSyntax);
  if (rule.or_word) {
    shape.words.emplace_back(rule.or_word->word);
    if (whole && *whole == rule.or_word->value) field.default_text = rule.or_word->word;
  } else if (whole && rule.range &&
             (*whole < rule.range->low_whole || *whole > rule.range->high_whole)) {
    // What cannot be written means "not given" (0 for no limit).
    field.default_text.clear();
  } else if (number && rule.range &&
             (*number < rule.range->low_number || *number > rule.range->high_number)) {
    field.default_text.clear();
  }
  field.shape = std::move(shape);
  shape_->fields.push_back(std::move(field));
}

bool Fields::Has(std::string_view name) const {
  return !describing() && node_->IsMap() && node_->Find(name) != nullptr;
}

bool Fields::Fine(std::string_view name) const {
  for (const Known& known : known_) {
    if (known.name == name) return known.fine;
  }
  return false;
}

const Node* Fields::NodeOf(std::string_view name) const {
  return describing() ? nullptr : node_->Find(name);
}

Place Fields::PlaceOf(std::string_view name) const {
  const Node* node = NodeOf(name);
  return node ? node->place : place();
}

Place Fields::place() const {
  return describing() ? Place{} : node_->place;
}

void Fields::Complain(std::string_view name, std::string_view what) {
  for (Known& known : known_) {
    if (known.name != name || !known.fine) continue;
    known.fine = false;
    problems_->Add(PlaceOf(name), Quote(name) + " " + std::string(what));
  }
}

void Fields::ComplainHere(std::string_view what) {
  // What is no map has been complained about, and has none of the rest either.
  if (!describing() && readable_) RefuseNode(what);
}

void Fields::RefuseNode(std::string_view what) {
  std::string text = label_.empty() ? "the file" : label_;
  problems_->Add(node_->place, text + " " + std::string(what));
}

void Fields::ComplainAt(const Place& where, std::string what) {
  if (!describing()) problems_->Add(where, std::move(what));
}

void Fields::Warn(std::string_view name, std::string_view what) {
  if (describing()) return;
  problems_->Warn(PlaceOf(name), Quote(name) + " " + std::string(what));
}

void Fields::Finish() {
  if (describing()) return;
  // A struct without fields ("account-select: {}") is looked at here for the first time.
  if (!Open()) return;
  std::vector<std::string_view> names;
  for (const Known& known : known_) {
    if (known.suggest && !Has(known.name)) names.push_back(known.name);
  }
  std::string where = label_.empty() ? "" : " in " + label_;
  for (const Node::Entry& entry : node_->entries) {
    bool known = std::any_of(known_.begin(), known_.end(),
                             [&](const Known& k) { return k.name == entry.key; });
    if (known) continue;
    problems_->Add(entry.key_place,
                   "unknown key " + Quote(entry.key) + where + DidYouMean(entry.key, names));
    // One complaint for a misspelt key is enough.
    std::erase(missing_, NearestName(entry.key, names));
  }
  for (const std::string& name : missing_) {
    problems_->Add(node_->place, Quote(name) + " is missing" + where);
  }
}

}  // namespace relay
