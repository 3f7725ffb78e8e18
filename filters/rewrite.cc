// SPDX-License-Identifier: MIT
// rewrite: changes what goes upstream, and nothing that it was not told to: path, headers, the
// model, top-level fields of a JSON body. Edits of the body are splices into the original bytes.
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/config/texts.h"
#include "core/config/wording.h"
#include "core/exchange/exchange.h"
#include "core/exchange/explanation.h"
#include "core/store/keys.h"
#include "filters/read_request.h"
#include "filters/registry.h"
#include "upstreams/provider.h"

namespace relay {
namespace {

struct RewriteOptions {
  bool strip_prefix = false;
  std::string prefix;
  std::vector<std::pair<std::string, std::string>> set_headers;
  std::vector<At<std::string>> remove_headers;
  std::vector<std::pair<std::string, std::string>> model_map;
  std::vector<std::pair<std::string, Node>> set_fields;
  std::vector<At<std::string>> remove_fields;
};

// RFC 9110 §5.6.2: a token.
bool IsFieldName(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return letter || kMarks.find(c) != std::string_view::npos;
  });
}

// What can stand in a path and in a body alike.
bool IsModelName(std::string_view text) {
  constexpr std::string_view kMarks = "-._:@/";
  return !text.empty() && text.size() <= 256 && std::all_of(text.begin(), text.end(), [&](char c) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return letter || kMarks.find(c) != std::string_view::npos;
  });
}

// Fields that the relay makes itself for each upstream request, or that end here.
bool IsOurs(std::string_view name) {
  return EndsHere(name) || EqualsIgnoreCase(name, "content-encoding");
}

void CheckHeaders(Fields& f, const RewriteOptions& o) {
  if (const Node* set = f.NodeOf("set-headers"); set != nullptr && f.Fine("set-headers")) {
    for (const Node::Entry& entry : set->entries) {
      if (!IsFieldName(entry.key)) {
        f.ComplainAt(entry.key_place, Quote(entry.key) + " is no name of a header");
      } else if (IsOurs(entry.key)) {
        f.ComplainAt(entry.key_place,
                     Quote(entry.key) + " cannot be set: the relay makes it or takes it away");
      } else if (EqualsIgnoreCase(entry.key, "user-agent")) {
        f.ComplainAt(entry.key_place,
                     Quote(entry.key) + " cannot be set: no client is disguised as another");
      }
    }
  }
  for (const At<std::string>& name : o.remove_headers) {
    if (!name.value.empty() && IsOurs(name.value)) {
      f.ComplainAt(name.place,
                   Quote(name.value) + " need not be removed: the relay makes it or takes it away");
    }
  }
}

void CheckField(Fields& f, const Place& place, std::string_view name) {
  if (name == "model") f.ComplainAt(place, "'model' is changed by 'model-map'");
  if (name == "stream") {
    f.ComplainAt(place, "'stream' cannot be changed: the client waits for what it asked for");
  }
}

void Bind(Fields& f, RewriteOptions& o) {
  f.Optional("strip-prefix", o.strip_prefix, "send the path without the route's prefix");
  f.Optional("prefix", o.prefix, Fits{IsPrefix, "must be like /api: '/' first, none at its end"},
             "put before the path that is sent");
  f.Optional("set-headers", o.set_headers, Fits{IsHeaderValue, "must not hold control bytes"},
             "headers to add or replace");
  f.Optional("remove-headers", o.remove_headers, OneOrMany{}, NonEmpty{},
             Fits{IsFieldName, "must be the name of a header"}, "headers not to send");
  f.Optional("model-map", o.model_map, Fits{IsModelName, "must be the name of a model"},
             "what a client's model becomes; '*' stands for any text, the first that fits counts");
  f.Optional("set-fields", o.set_fields,
             "top-level fields of the JSON body of calls that generate, to add or replace");
  f.Optional("remove-fields", o.remove_fields, OneOrMany{}, NonEmpty{},
             "top-level fields of the JSON body not to send");
  CheckHeaders(f, o);
  for (const At<std::string>& name : o.remove_fields) CheckField(f, name.place, name.value);
  for (std::string_view option : {"set-fields", "model-map"}) {
    const Node* map = f.NodeOf(option);
    if (map == nullptr || !f.Fine(option)) continue;
    for (const Node::Entry& entry : map->entries) {
      if (option == "set-fields") {
        CheckField(f, entry.key_place, entry.key);
      } else if (!IsModelGlob(entry.key)) {
        f.ComplainAt(entry.key_place, Quote(entry.key) + " is no name of a model");
      }
    }
  }
}

// Where accounts serve some models only, the account should be chosen by the model that is sent.
void CheckSite(const RewriteOptions& o, const FilterSite& site, Problems& problems) {
  if (o.model_map.empty() || site.cluster == nullptr) return;
  const auto& accounts = site.cluster->accounts;
  bool choosy = std::any_of(accounts.begin(), accounts.end(),
                            [](const AccountConfig& account) { return !account.models.empty(); });
  for (const FilterSpec& spec : site.route.filters) {
    if (spec.name == "rewrite") return;
    if (spec.name != "account-select" || !choosy) continue;
    problems.Warn(
        spec.place,
        "'account-select' chooses among accounts with 'models' by the model that the "
        "client names; put 'rewrite' before it to choose by what 'model-map' makes of it");
  }
}

// In /v1beta/models/NAME:generateContent and /v1/models/NAME.
bool ReplaceInPath(std::string& path, std::string_view from, std::string_view to) {
  constexpr std::string_view kBefore = "/models/";
  size_t at = path.rfind(kBefore);
  if (at == std::string::npos) return false;
  at += kBefore.size();
  std::string_view rest = std::string_view(path).substr(at);
  bool whole = rest.size() == from.size() || rest.substr(from.size()).starts_with(':');
  if (!rest.starts_with(from) || !whole) return false;
  path.replace(at, from.size(), to);
  return true;
}

class RewriteFilter final : public Filter {
 public:
  RewriteFilter(RewriteOptions o, const FilterContext&) : options_(std::move(o)) {
    if (options_.prefix == "/") options_.prefix.clear();
    for (const auto& [name, node] : options_.set_fields) {
      fields_.emplace_back(name, RenderJson(node));
    }
  }
  std::string_view name() const override { return "rewrite"; }

  Task<Verdict> OnRequest(Exchange& x) override {
    const std::string before = x.sent_path;
    if (options_.strip_prefix) x.sent_path = x.path;
    x.sent_path.insert(0, options_.prefix);
    for (const auto& [name, value] : options_.set_headers) x.request.Set(name, value);
    for (const auto& name : options_.remove_headers) x.request.Remove(name.value);
    if (x.explanation != nullptr) TellHead(*x.explanation, before, x.sent_path);
    bool edits = !options_.model_map.empty() || !fields_.empty() || !options_.remove_fields.empty();
    return edits ? EditBody(x) : Verdict::Continue();
  }

 private:
  Task<Verdict> EditBody(Exchange& x) {
    Result<Unit> read = co_await ReadRequest(x);
    if (!read) co_return Verdict::Refuse(ToRefusal(read.error()));
    MapModel(x);
    // Only of what is a JSON object.
    if (x.json.text().empty()) co_return Verdict::Continue();
    for (const auto& name : options_.remove_fields) {
      x.edits.Remove(x.json, name.value);
      if (x.explanation != nullptr && x.json.Find(name.value)) {
        x.explanation->Say("takes field " + name.value + " out");
      }
    }
    // Calls that only count refuse fields they do not know.
    if (x.ask.operation != Operation::kGenerate) co_return Verdict::Continue();
    for (const auto& [name, json] : fields_) {
      x.edits.Set(x.json, name, json);
      if (x.explanation != nullptr) x.explanation->Say("sets field " + name);
    }
    co_return Verdict::Continue();
  }

  void TellHead(Explanation& explanation, const std::string& before,
                const std::string& after) const {
    if (before != after) explanation.Say("path " + before + " becomes " + after);
    for (const auto& [name, value] : options_.set_headers) {
      explanation.Hide(name);
      explanation.Say("sets header " + name);
    }
    for (const auto& name : options_.remove_headers) {
      explanation.Say("takes header " + name.value + " out");
    }
  }

  // The model stands in the path (Gemini), in the body (Claude, Code Assist) or in both (Gemini's
  // embeddings, there with "models/" before it).
  void MapModel(Exchange& x) const {
    const std::string from = x.ask.model;
    auto rule =
        std::find_if(options_.model_map.begin(), options_.model_map.end(),
                     [&](const auto& candidate) { return GlobMatch(candidate.first, from); });
    if (from.empty() || rule == options_.model_map.end()) return;
    const std::string& to = rule->second;
    bool changed = ReplaceInPath(x.path, from, to);
    changed = ReplaceInPath(x.sent_path, from, to) || changed;
    JsonValue named = x.json.Find("model");
    for (std::string_view before : {"", "models/"}) {
      if (!named.Equals(std::string(before) + from)) continue;
      x.edits.Replace(named, JsonString(std::string(before) + to));
      changed = true;
    }
    if (!changed) return;
    x.ask.model = to;
    if (x.explanation != nullptr) {
      x.explanation->Say("model " + from + " becomes " + to).With("from", from).With("to", to);
    }
  }

  RewriteOptions options_;
  std::vector<std::pair<std::string, std::string>> fields_;  // to set, as JSON
};

}  // namespace

FilterKind Rewrite() {
  return KindOf<RewriteOptions, RewriteFilter>(
      "changes the path, headers, model and top-level JSON fields of what is sent upstream",
      Only(Fact::kKey), 0);
}

}  // namespace relay
