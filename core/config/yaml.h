// SPDX-License-Identifier: MIT
// Text to Node. What nobody needs in a configuration and an attacker likes is refused: anchors,
// aliases, merge keys, tags, several documents, and everything beyond the bounds below. Then
// ${…} is replaced in scalars (never in keys).
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/node.h"

namespace relay {

// facts: R40. The text after ${…} was replaced is bounded alike.
inline constexpr size_t kMaxYamlBytes = size_t{1} << 20;
inline constexpr int kMaxYamlDepth = 32;
inline constexpr size_t kMaxYamlNodes = 100'000;

// The value of an environment variable; nothing when unset.
using Environment = std::function<std::optional<std::string>(std::string_view name)>;
// The process's own environment.
Environment ProcessEnvironment();

struct YamlSource {
  std::string_view text;
  std::string name;    // for places: "relay.yaml"
  std::string folder;  // where relative ${file:…} paths start; "" is the working folder
  Environment environment;
  std::vector<std::string>* files = nullptr;  // gets the path of each ${file:…}, read or not
};

// Never throws. What cannot be read is a null or broken node and a problem. An empty document is a
// null node at 1:1.
//   ${NAME}        the variable; a problem when unset or empty
//   ${NAME:=text}  the variable, or text (up to the next '}') when unset or empty
//   ${file:path}   the file's content without its last line end, at most 64 KiB
//   $${            a literal ${
Node ParseYaml(const YamlSource& source, Problems& problems);

}  // namespace relay
