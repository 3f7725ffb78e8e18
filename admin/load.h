// SPDX-License-Identifier: MIT
// relay.yaml with every check that can be made before it is served: its own, those of the chains,
// and whether what it names is there (certificates, the time zone).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/config/root.h"

namespace relay {

// Never null; not to be served when problems.failed(). A file that has the default name and is not
// there gets a word on how to name another.
std::shared_ptr<const Config> LoadChecked(const std::string& path, const Environment& environment,
                                          Problems& problems);

// Where the state of this configuration lives: beside the embedded store's file if that is named,
// else RELAY_DATA, else `data` beside relay.yaml.
std::string DataFolderOf(const Config& config, const Environment& environment);
// In that folder.
inline constexpr std::string_view kControlSocket = "relay.sock";

// The lines of ReportLines to standard error. True when the configuration may be served.
bool Report(const Config& config, const Problems& problems);

}  // namespace relay
