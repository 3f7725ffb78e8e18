// SPDX-License-Identifier: MIT
#include "core/config/outline.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "core/config/wording.h"

namespace relay {
namespace {

using Path = Outline::Path;
using Kind = Shape::Kind;

// The order in which things stand, where it means something.
constexpr std::string_view kOrder = "(order)";
constexpr std::string_view kBetween = ", ";

bool StandsAt(const Path& path, const Path& top) {
  return path.size() >= top.size() && std::equal(top.begin(), top.end(), path.begin());
}

// Whether a text may be told. A URL may hold a password, and what comes from outside of the file
// may be one where nobody knows what it is.
bool MayBeShown(const Node& scalar, Kind kind) {
  if (kind == Kind::kSecret) return false;
  if (scalar.from_outside && (kind == Kind::kAny || kind == Kind::kText)) return false;
  return scalar.text.find('@') == std::string::npos;
}

// What a thing in a list is called: by its name, a listener by its address, a filter by its only
// key.
std::string NameOfItem(const Node& item) {
  for (std::string_view key : {"name", "address"}) {
    const Node* name = item.Find(key);
    if (name != nullptr && name->IsScalar()) return name->text;
  }
  return item.IsMap() && item.entries.size() == 1 ? item.entries.front().key : "";
}

Digest256 DigestOf(std::string_view text) {
  static const HmacKey kKey(RandomBytes(sizeof(Digest256)));
  return kKey.Sign(text);
}

}  // namespace

class Outline::Builder {
 public:
  explicit Builder(Outline& to) : to_(to) {}

  void AddStruct(const Node& node, const Shape& shape, const Path& path) {
    if (node.IsScalar()) {
      AddValue(node, Kind::kText, path);  // "store: auto"
      return;
    }
    // Of the words that may stand in place of the fields, the first is what nothing means.
    if (node.entries.empty() && !shape.words.empty()) {
      Put(path, shape.words.front(), shape.words.front());
      return;
    }
    for (const FieldShape& field : shape.fields) {
      // They say nothing of what is served.
      if (path.empty() && field.name == "tests") continue;
      const Node* value = node.Find(field.name);
      if (value != nullptr && !value->IsNull() && !value->Emptied()) {
        Add(*value, field.shape, Below(path, field.name));
      } else if (field.shape.kind == Kind::kStruct) {
        AddStruct(Node(), field.shape, Below(path, field.name));
      } else if (!field.default_text.empty()) {
        Put(Below(path, field.name), field.default_text, field.default_text);
      }
    }
  }

 private:
  static Path Below(const Path& path, std::string_view name) {
    Path below = path;
    below.emplace_back(name);
    return below;
  }
  void Put(Path path, std::string_view text, std::string_view shown) {
    to_.entries_[std::move(path)] = {false, std::string(shown), DigestOf(text)};
  }

  void Add(const Node& node, const Shape& shape, const Path& path) {
    switch (shape.kind) {
      case Kind::kStruct: AddStruct(node, shape, path); return;
      case Kind::kMap: AddMap(node, shape.item.front(), path); return;
      case Kind::kList: AddList(node, shape.item.front(), path); return;
      default: AddValue(node, shape.kind, path);
    }
  }

  void AddMap(const Node& node, const Shape& item, const Path& path) {
    for (const Node::Entry& entry : node.entries) {
      Path below = Below(path, entry.key);
      if (item.kind == Kind::kStruct) to_.entries_[below].thing = true;
      Add(entry.value, item, below);
    }
  }

  void AddList(const Node& node, const Shape& item, const Path& path) {
    bool things = std::any_of(node.items.begin(), node.items.end(),
                              [](const Node& each) { return each.IsMap(); });
    if (!things) {
      AddValue(node, item.kind, path);
      return;
    }
    std::string order;
    size_t number = 0;
    for (const Node& each : node.items) {
      std::string name = NameOfItem(each);
      ++number;
      if (name.empty()) name = std::to_string(number);               // a cluster's rules
      while (to_.entries_.contains(Below(path, name))) name += "'";  // listeners on port 0
      Path below = Below(path, name);
      to_.entries_[below].thing = true;
      // A filter's options stand right below its name.
      bool filter = item.kind == Kind::kAny && each.entries.size() == 1;
      Add(filter ? each.entries.front().value : each, item, below);
      if (!order.empty()) order += kBetween;
      order += name;
    }
    bool matters = path.back() == "routes" || path.back() == "filters";
    if (matters) Put(Below(path, kOrder), order, order);
  }

  // A scalar, a list of them, or any YAML.
  void AddValue(const Node& node, Kind kind, const Path& path) {
    if (node.IsMap()) {
      // What a request is given on its way may be a gateway's credential.
      bool given = !path.empty() && (path.back() == "set-headers" || path.back() == "set-fields");
      for (const Node::Entry& entry : node.entries) {
        AddValue(entry.value, given ? Kind::kSecret : kind, Below(path, entry.key));
      }
      return;
    }
    std::string text;
    bool shown = true;
    if (node.IsSequence()) {
      for (const Node& item : node.items) {
        if (!text.empty()) text += kBetween;
        text += item.IsScalar() ? item.text : RenderJson(item);
        shown = shown && item.IsScalar() && MayBeShown(item, kind);
      }
    } else {
      text = node.text;
      shown = MayBeShown(node, kind);
    }
    Put(path, text, shown ? text : "");
    WipeString(text);
  }

  Outline& to_;
};

Outline Outline::Of(const Node& root, const Shape& shape) {
  Outline outline;
  Builder(outline).AddStruct(root, shape, {});
  return outline;
}

void Outline::Remove(const Path& path) {
  std::erase_if(entries_, [&](const auto& entry) { return StandsAt(entry.first, path); });
}

void Outline::Copy(const Path& path, const Outline& other) {
  Remove(path);
  for (const auto& [at, entry] : other.entries_) {
    if (StandsAt(at, path)) entries_.emplace(at, entry);
  }
}

namespace {

std::string Joined(const Path& path, size_t from) {
  std::string text;
  for (size_t i = from; i < path.size(); ++i) text += (i > from ? "." : "") + path[i];
  return text;
}

// Of the thing that a path leads to or into; `used`: how much of the path names it.
std::string TitleOf(const Path& path, size_t& used) {
  auto is = [&](size_t at, std::string_view word) {
    return path.size() > at + 1 && path[at] == word && path[at + 1] != kOrder;
  };
  used = 2;
  if (is(0, "keys")) return "key " + Quote(path[1]);
  if (is(0, "alerts")) return "alert " + Quote(path[1]);
  if (is(0, "listeners")) return "listener " + path[1];
  if (is(0, "routes")) {
    if (!is(2, "filters")) return "route " + Quote(path[1]);
    used = 4;
    return "filter " + Quote(path[3]) + " of route " + Quote(path[1]);
  }
  if (is(0, "clusters")) {
    if (!is(2, "accounts")) return "cluster " + Quote(path[1]);
    used = 4;
    return "account " + Quote(path[1] + "/" + path[3]);
  }
  used = 0;
  return "";
}

using Entries = std::map<Path, Outline::Entry>;

// "key 'alice': limits.concurrency", "account 'claude/b'", "order of routes"
std::string WhereText(const Path& path) {
  size_t used = 0;
  std::string text = TitleOf(path, used);
  if (path.back() == kOrder) {
    return (text.empty() ? "" : text + ": ") + "order of " + path[path.size() - 2];
  }
  std::string rest = Joined(path, used);
  return text.empty() || rest.empty() ? text + rest : text + ": " + rest;
}

std::string FromTo(const Path& path, std::string_view old, std::string_view fresh) {
  return WhereText(path) + " " + std::string(old) + " -> " + std::string(fresh);
}

std::vector<std::string> Sorted(std::string_view list) {
  std::vector<std::string> names;
  while (!list.empty()) {
    size_t end = std::min(list.find(kBetween), list.size());
    names.emplace_back(list.substr(0, end));
    list.remove_prefix(std::min(end + kBetween.size(), list.size()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Past what stands at this path and below.
Entries::const_iterator Past(Entries::const_iterator at, const Entries& all) {
  const Path& top = at->first;
  auto next = std::next(at);
  while (next != all.end() && StandsAt(next->first, top)) ++next;
  return next;
}

}  // namespace

std::vector<OutlineChange> DiffOutlines(const Outline& before, const Outline& after) {
  const Entries& olds = before.entries();
  const Entries& news = after.entries();
  auto old = olds.begin();
  auto fresh = news.begin();
  std::vector<OutlineChange> changes;
  auto one_sided = [&](Entries::const_iterator& at, const Entries& all, bool came) {
    const auto& [path, entry] = *at;
    std::string text;
    if (entry.thing) {
      text = WhereText(path) + (came ? " is added" : " is removed");
    } else if (entry.shown.empty()) {
      text = WhereText(path) + (came ? " is set" : " is not set any more");
    } else {
      text = came ? FromTo(path, "none", entry.shown) : FromTo(path, entry.shown, "none");
    }
    changes.push_back({path, std::move(text)});
    at = Past(at, all);
  };
  while (old != olds.end() || fresh != news.end()) {
    if (fresh == news.end() || (old != olds.end() && old->first < fresh->first)) {
      one_sided(old, olds, false);
    } else if (old == olds.end() || fresh->first < old->first) {
      one_sided(fresh, news, true);
    } else {
      const Path& path = old->first;
      bool same = old->second.digest == fresh->second.digest;
      // Who came or went is told; here it is only that the others changed places.
      bool order = path.back() == kOrder;
      if (order) same = same || Sorted(old->second.shown) != Sorted(fresh->second.shown);
      bool shown = !old->second.shown.empty() && !fresh->second.shown.empty();
      if (!same) {
        changes.push_back({path, shown ? FromTo(path, old->second.shown, fresh->second.shown)
                                       : WhereText(path) + " changes"});
      }
      ++old;
      ++fresh;
    }
  }
  return changes;
}

}  // namespace relay
