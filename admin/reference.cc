// SPDX-License-Identifier: MIT
#include "admin/reference.h"

#include <algorithm>
#include <string_view>

#include "core/config/describe.h"
#include "core/config/root.h"
#include "filters/registry.h"

namespace relay {
namespace {

std::string FactNames(FactSet facts) {
  struct Named {
    Fact fact;
    std::string_view name;
  };
  constexpr Named kAll[] = {{Fact::kKey, "key"},
                            {Fact::kAccount, "account"},
                            {Fact::kBody, "body"},
                            {Fact::kUsage, "usage"}};
  std::string text;
  for (const Named& named : kAll) {
    if ((facts & Only(named.fact)) == 0) continue;
    text += (text.empty() ? "" : ", ") + std::string(named.name);
  }
  return text;
}

// A filter in a chain: a map with one key, its name.
Shape FilterItem() {
  Shape item;
  item.kind = Shape::Kind::kStruct;
  for (const FilterKind& kind : FilterKinds()) {
    FieldShape field;
    field.name = kind.name;
    field.doc = kind.summary;
    field.shape = kind.describe();
    item.fields.push_back(std::move(field));
  }
  return item;
}

FieldShape* FindField(Shape& shape, std::string_view name) {
  auto at = std::find_if(shape.fields.begin(), shape.fields.end(),
                         [&](const FieldShape& field) { return field.name == name; });
  return at == shape.fields.end() ? nullptr : &*at;
}

}  // namespace

std::string FiltersReference() {
  std::string text;
  for (const FilterKind& kind : FilterKinds()) {
    if (!text.empty()) text += '\n';
    text += std::string(kind.name) + ": " + std::string(kind.summary) + "\n";
    if (kind.needs != 0) text += "  needs: " + FactNames(kind.needs) + "\n";
    if (kind.gives != 0) text += "  gives: " + FactNames(kind.gives) + "\n";
    std::string options = PrintReference(kind.describe(), 4);
    text += options.empty() ? "  no options\n" : "  options:\n" + options;
  }
  return text;
}

std::string ConfigSchema() {
  Shape root = DescribeConfig();
  FieldShape* routes = FindField(root, "routes");
  FieldShape* filters =
      routes == nullptr ? nullptr : FindField(routes->shape.item.front(), "filters");
  if (filters != nullptr) filters->shape.item.front() = FilterItem();
  return PrintJsonSchema(root, "relay.yaml");
}

}  // namespace relay
