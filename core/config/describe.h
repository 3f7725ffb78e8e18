// SPDX-License-Identifier: MIT
// Prints a Shape: as a reference for people (`relay filters`) and as a JSON schema for editors
// (`relay schema`). Neither reads a configuration.
#pragma once

#include <string>
#include <string_view>

#include "core/config/shape.h"

namespace relay {

// One line a field: name, type, range or words, "required" or the default, what it is for; nested
// fields are indented below. `indent` spaces before each line.
std::string PrintReference(const Shape& shape, int indent = 2);

// A JSON Schema (draft 2020-12) of one struct. Where a ${NAME} may stand for a number or a word,
// the schema allows it.
std::string PrintJsonSchema(const Shape& shape, std::string_view title);
// The schema of a part, without the head, for a caller that puts several together.
std::string PrintJsonSchemaPart(const Shape& shape);

}  // namespace relay
