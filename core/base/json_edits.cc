// SPDX-License-Identifier: MIT
// Splices, and how fields come and go with the right commas.
#include <algorithm>

#include "core/base/json.h"

namespace relay {

void Edits::Raw(size_t at, size_t remove, std::string insert) {
  for (Splice& splice : raw_) {
    if (remove > 0 && splice.at == at && splice.remove == remove) {
      splice.insert = std::move(insert);
      return;
    }
  }
  raw_.push_back({at, remove, std::move(insert)});
}

void Edits::Replace(const JsonValue& value, std::string json) {
  Raw(value.offset, value.raw.size(), std::move(json));
}

Edits::Object& Edits::Touch(const JsonIndex& object) {
  for (Object& known : objects_) {
    if (known.begin == object.begin() + 1) return known;
  }
  Object& fresh = objects_.emplace_back();
  fresh.begin = object.begin() + 1;
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
  std::vector<JsonValue> elements;
  JsonArray items(array);
  while (JsonValue item = items.Next()) elements.push_back(item);
  size_t count = std::min(elements.size(), which.size());
  for (size_t begin = 0; begin < count;) {
    size_t end = begin;
    while (end < count && which[end]) ++end;
    if (end == begin) {
      ++begin;
      continue;
    }
    // Up to what follows; where nothing does, from what stands before.
    size_t from = elements[begin].offset;
    size_t to = elements[end - 1].offset + elements[end - 1].raw.size();
    if (end < elements.size()) {
      to = elements[end].offset;
    } else if (begin > 0) {
      from = elements[begin - 1].offset + elements[begin - 1].raw.size();
    }
    Raw(from, to - from, "");
    begin = end;
  }
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
  // inside it, which it covers. Equals stay in their order.
  auto before = [](const Splice& a, const Splice& b) {
    if (a.at != b.at) return a.at < b.at;
    if ((a.remove == 0) != (b.remove == 0)) return a.remove == 0;
    return a.remove > b.remove;
  };
  std::vector<Splice> splices;
  for (Splice& splice : unsorted) {
    auto place = std::upper_bound(splices.begin(), splices.end(), splice, before);
    splices.insert(place, std::move(splice));
  }
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
