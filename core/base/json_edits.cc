// SPDX-License-Identifier: MIT
// Splices, and how fields come and go with the right commas.
#include <algorithm>
#include <optional>
#include <utility>

#include "core/base/json.h"

namespace relay {

void Edits::Raw(size_t at, size_t remove, std::string insert) {
  raw_.push_back({at, remove, std::move(insert)});
}

void Edits::Replace(const JsonValue& value, std::string json) {
  Raw(value.offset, value.raw.size(), std::move(json));
}

Edits::Object& Edits::Touch(const JsonIndex& object) {
  // In the text's order, in which most come.
  const size_t begin = object.begin() + 1;
  auto at = std::ranges::lower_bound(objects_, begin, {}, &Object::begin);
  if (at != objects_.end() && at->begin == begin) return *at;
  Object& fresh = *objects_.emplace(at);
  fresh.begin = begin;
  for (const JsonField& field : object.fields()) {
    fresh.members.push_back({field.key_begin, field.value_end, false});
  }
  return fresh;
}

void Edits::Set(const JsonIndex& object, std::string_view name, std::string json) {
  if (const JsonField* field = object.FindField(name)) {
    for (Object& known : objects_) {
      for (Member& member : known.members) {
        if (member.begin == field->key_begin) member.removed = false;
      }
    }
    Replace(object.Value(*field), std::move(json));
    return;
  }
  Object& touched = Touch(object);
  for (Addition& addition : touched.additions) {
    if (addition.name == name) {
      addition.json = std::move(json);
      return;
    }
  }
  touched.additions.push_back({std::string(name), std::move(json)});
}

void Edits::Remove(const JsonIndex& object, std::string_view name) {
  if (const JsonField* field = object.FindField(name)) {
    for (Member& member : Touch(object).members) {
      if (member.begin == field->key_begin) member.removed = true;
    }
    return;
  }
  for (Object& known : objects_) {
    if (known.begin != object.begin() + 1) continue;
    std::erase_if(known.additions, [&](const Addition& a) { return a.name == name; });
  }
}

void Edits::RemoveElements(const JsonValue& array, const std::vector<bool>& which) {
  JsonArray elements(array);
  std::optional<size_t> from;  // of those that go, up to what comes next
  size_t kept_end = 0;         // of the last that stays
  size_t end = 0;
  size_t at = 0;
  while (JsonValue element = elements.Next()) {
    bool goes = at < which.size() && which[at];
    if (goes && !from) from = element.offset;
    if (!goes && from) Raw(*from, element.offset - *from, "");
    if (!goes) from.reset();
    end = element.offset + element.raw.size();
    if (!goes) kept_end = end;
    ++at;
  }
  if (!from) return;
  // Where nothing follows, from what stands before.
  if (kept_end > 0) from = kept_end;
  Raw(*from, end - *from, "");
}

void Edits::Clear() {
  raw_.clear();
  objects_.clear();
}

void Edits::ResolveObject(const Object& object, std::vector<Splice>& to) {
  std::string added;
  for (const Addition& addition : object.additions) {
    if (!added.empty()) added.push_back(',');
    AppendJsonString(added, addition.name);
    added.push_back(':');
    added += addition.json;
  }
  const std::vector<Member>& members = object.members;
  // Where the last field that stays ends. A removed one takes the comma before it with it if
  // nothing that stays comes behind, else all up to what comes behind.
  size_t kept_end = 0;
  for (size_t i = 0; i < members.size(); ++i) {
    if (!members[i].removed) kept_end = members[i].end;
  }
  for (size_t i = 0; i < members.size(); ++i) {
    if (!members[i].removed || members[i].end > kept_end) continue;
    to.push_back({members[i].begin, members[i + 1].begin - members[i].begin, {}});
  }
  if (members.empty()) {
    if (!added.empty()) to.push_back({object.begin, 0, std::move(added)});
    return;
  }
  size_t end = members.back().end;
  if (kept_end == 0) {
    to.push_back({members.front().begin, end - members.front().begin, std::move(added)});
  } else if (kept_end != end || !added.empty()) {
    if (!added.empty()) added.insert(added.begin(), ',');
    to.push_back({kept_end, end - kept_end, std::move(added)});
  }
}

std::vector<Edits::Splice> Edits::Resolve() const {
  std::vector<Splice> unsorted = raw_;
  for (const Object& object : objects_) ResolveObject(object, unsorted);
  // What only inserts comes before what replaces from the same place; a wider range before one
  // inside it, which it covers; of several for one range the last. Insertions stay in their order.
  auto before = [](const Splice* a, const Splice* b) {
    if (a->at != b->at) return a->at < b->at;
    if ((a->remove == 0) != (b->remove == 0)) return a->remove == 0;
    if (a->remove != b->remove) return a->remove > b->remove;
    return a->remove == 0 ? a < b : a > b;
  };
  std::vector<Splice*> order;
  order.reserve(unsorted.size());
  for (Splice& splice : unsorted) order.push_back(&splice);
  std::ranges::sort(order, before);
  std::vector<Splice> splices;
  splices.reserve(order.size());
  for (Splice* splice : order) splices.push_back(std::move(*splice));
  size_t covered = 0;
  std::erase_if(splices, [&](const Splice& splice) {
    if (splice.at < covered) return true;
    covered = splice.at + splice.remove;
    return false;
  });
  return splices;
}

size_t Edits::SizeAfter(size_t size) const {
  for (const Splice& splice : Resolve()) size = size - splice.remove + splice.insert.size();
  return size;
}

void Edits::Apply(const Chunk& text, Buffer& out) const {
  size_t at = 0;
  for (const Splice& splice : Resolve()) {
    if (splice.at > at) out.Append(text.Slice(at, splice.at - at));
    if (!splice.insert.empty()) out.AppendCopy(splice.insert);
    at = splice.at + splice.remove;
  }
  if (at < text.size()) out.Append(text.Slice(at, text.size() - at));
}

std::string Edits::Apply(std::string_view text) const {
  std::string out;
  size_t at = 0;
  for (const Splice& splice : Resolve()) {
    out += text.substr(at, splice.at - at);
    out += splice.insert;
    at = splice.at + splice.remove;
  }
  out += text.substr(at);
  return out;
}

}  // namespace relay
