// SPDX-License-Identifier: MIT
// JSON as a configuration tree, so that what the admin API takes is bound by the same functions as
// relay.yaml. Nothing in it is replaced: ${…} stays what it is.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/config/node.h"

namespace relay {

// `name` is what places say. A null is an empty value. Errors: an object in it has a field twice.
Result<Node> NodeOfJson(const JsonIndex& object, const std::string& name);

}  // namespace relay
