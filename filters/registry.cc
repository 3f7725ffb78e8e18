// SPDX-License-Identifier: MIT
#include "filters/registry.h"

#include <algorithm>
#include <cassert>
#include <vector>

#include "core/config/wording.h"

namespace relay {

// Each is defined in the file of its name.
FilterKind Auth(), RateLimit(), AccountSelect(), Rewrite(), UsageRecord();

namespace {

struct Line {
  std::string_view name;
  FilterKind (*kind)();
};
constexpr Line kLines[] = {
    {"auth", Auth},                     //
    {"rate-limit", RateLimit},          //
    {"account-select", AccountSelect},  //
    {"rewrite", Rewrite},               //
    {"usage-record", UsageRecord},      //
};

struct FactName {
  Fact fact;
  std::string_view name;
};
constexpr FactName kFacts[] = {{Fact::kKey, "a key"},
                               {Fact::kAccount, "an account"},
                               {Fact::kBody, "the body"},
                               {Fact::kUsage, "the usage"}};

const FilterKind* Find(std::string_view name) {
  for (const FilterKind& kind : FilterKinds()) {
    if (kind.name == name) return &kind;
  }
  return nullptr;
}

std::string_view GiverOf(Fact fact) {
  for (const FilterKind& kind : FilterKinds()) {
    if ((kind.gives & Only(fact)) != 0) return kind.name;
  }
  return {};
}

void CheckKnown(const FilterSpec& spec, Problems& problems) {
  std::vector<std::string_view> names;
  for (const FilterKind& kind : FilterKinds()) names.push_back(kind.name);
  std::string meant = DidYouMean(spec.name, names);
  if (meant.empty()) meant = "; there are " + Listed(names);
  problems.Add(spec.place, "there is no filter " + Quote(spec.name) + meant);
}

void CheckFacts(const FilterSpec& spec, const FilterKind& kind, FactSet given, Problems& problems) {
  for (const auto& [fact, name] : kFacts) {
    if ((kind.needs & Only(fact)) == 0 || (given & Only(fact)) != 0) continue;
    problems.Add(spec.place, "filter " + Quote(spec.name) + " needs " + std::string(name) +
                                 ", which no earlier filter gives; put " + Quote(GiverOf(fact)) +
                                 " before it");
  }
}

void CheckChain(const Config& config, const RouteConfig& route, Problems& problems) {
  const FilterSite site{config, route, config.FindCluster(route.cluster)};
  FactSet given = 0;
  bool all_known = true;
  std::vector<const FilterSpec*> before;
  for (const FilterSpec& spec : route.filters) {
    const FilterKind* kind = Find(spec.name);
    if (kind == nullptr) {
      CheckKnown(spec, problems);
      all_known = false;
      continue;
    }
    auto twin = std::find_if(before.begin(), before.end(),
                             [&](const FilterSpec* other) { return other->name == spec.name; });
    if (twin != before.end()) {
      problems.Add(spec.place, "filter " + Quote(spec.name) + " stands in this chain already, at " +
                                   (*twin)->place.Text() + "; a chain takes each filter once");
      continue;
    }
    before.push_back(&spec);
    // A misspelt filter may be the one that gives it; that has its complaint.
    if (all_known) CheckFacts(spec, *kind, given, problems);
    kind->check(spec, site, problems);
    given = static_cast<FactSet>(given | kind->gives);
  }
  if (!all_known || route.filters.empty() || (given & Only(Fact::kAccount)) != 0) return;
  problems.Add(route.place, "route " + Quote(route.name) +
                                " sends requests to a cluster, but no filter of it gives an "
                                "account; add " +
                                Quote(GiverOf(Fact::kAccount)));
}

}  // namespace

std::span<const FilterKind> FilterKinds() {
  static const std::vector<FilterKind> kKinds = [] {
    std::vector<FilterKind> kinds;
    for (const Line& line : kLines) {
      kinds.push_back(line.kind());
      kinds.back().name = line.name;
    }
    return kinds;
  }();
  return kKinds;
}

void CheckChains(const Config& config, Problems& problems) {
  for (const RouteConfig& route : config.routes) {
    CheckChain(config, route, problems);
  }
}

std::unique_ptr<Filter> MakeFilter(const FilterSpec& spec, const FilterContext& context) {
  const FilterKind* kind = Find(spec.name);
  assert(kind != nullptr);
  return kind->make(spec, context);
}

}  // namespace relay
