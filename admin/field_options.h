// SPDX-License-Identifier: MIT
// Options that are fields of an object in relay.yaml, as JSON for the admin API:
//
//   --services claude,gemini --limits concurrency=4,cost-per-day=25 --models deny=claude-opus-*
//
// A list is written with commas, a map or a part as name=value with commas, and again for another
// value of the same name; "none" takes a value away.
#pragma once

#include <expected>
#include <string>
#include <utility>
#include <vector>

#include "core/base/json.h"
#include "core/config/shape.h"

namespace relay {

using FieldOptions = std::vector<std::pair<std::string, std::string>>;

// Adds the fields to the object that is open in `json`. What a value must be is said by who binds
// it. The error is for people: "--limits must be like name=value,…".
std::expected<void, std::string> WriteFieldOptions(const Shape& shape, const FieldOptions& fields,
                                                   JsonText& json);

// What an object says, for people: "concurrency: 4; tags: a,b; pause-at: 5h=90% week=95%".
std::string FieldsText(const JsonValue& object);
// The same of one value.
std::string ValueText(const JsonValue& value);

}  // namespace relay
