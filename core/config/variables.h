// SPDX-License-Identifier: MIT
// Replaces ${NAME}, ${NAME:=text}, ${file:path} and $${ in scalars (rules in yaml.h). What comes in
// is never looked at again, so a value that holds "${" stays as it is.
#pragma once

#include <cstddef>
#include <string>

#include "core/config/node.h"
#include "core/config/yaml.h"

namespace relay {

class Variables {
 public:
  // Both outlive this.
  Variables(const YamlSource& source, Problems& problems)
      : environment_(source.environment),
        folder_(source.folder),
        files_(source.files),
        problems_(problems) {}

  // Replaces in the node's text; on a complaint the node is broken.
  void Replace(Node& scalar);

 private:
  // One ${…}, given what stands between the braces. False after a complaint.
  bool Append(Node& scalar, std::string_view inner, std::string& out);
  bool AppendFile(Node& scalar, std::string_view path, std::string& out);
  bool Refuse(Node& scalar, std::string what);

  const Environment& environment_;
  const std::string& folder_;
  std::vector<std::string>* const files_;
  Problems& problems_;
  size_t brought_in_ = 0;  // bytes, over all scalars
};

// `path`, put after `folder` when it is relative.
std::string JoinFolder(const std::string& folder, std::string_view path);

}  // namespace relay
