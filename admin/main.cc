// SPDX-License-Identifier: MIT
// The program: reads its command line and runs the command.
#include <cstdio>
#include <string_view>
#include <vector>

#include "admin/account_commands.h"
#include "admin/alerts_command.h"
#include "admin/check.h"
#include "admin/commands.h"
#include "admin/explain.h"
#include "admin/keys_command.h"
#include "admin/options.h"
#include "admin/reference.h"
#include "admin/serve.h"
#include "admin/state_command.h"

namespace {

int Print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  return relay::kExitOk;
}

}  // namespace

int main(int count, char** words) {
  std::vector<std::string_view> arguments(words + (count > 0 ? 1 : 0), words + count);
  auto options = relay::ParseOptions(arguments);
  if (!options) {
    std::fprintf(stderr, "relay: %s\n", options.error().c_str());
    return relay::kExitUsage;
  }
  relay::Environment environment = relay::ProcessEnvironment();
  switch (options->command) {
    case relay::Command::kServe: return relay::RunServe(*options, environment);
    case relay::Command::kCheck: return relay::RunCheck(*options, environment);
    case relay::Command::kExplain: return relay::RunExplain(*options, environment);
    case relay::Command::kUsage: return relay::RunUsage(*options, environment);
    case relay::Command::kHealth: return relay::RunHealth(*options, environment);
    case relay::Command::kReload: return relay::RunReload(*options, environment);
    case relay::Command::kDiff: return relay::RunDiff(*options, environment);
    case relay::Command::kAccounts: return relay::RunAccounts(*options, environment);
    case relay::Command::kKeys: return relay::RunKeys(*options, environment);
    case relay::Command::kAlerts: return relay::RunAlerts(*options, environment);
    case relay::Command::kRekey: return relay::RunRekey(*options, environment);
    case relay::Command::kState: return relay::RunState(*options, environment);
    case relay::Command::kFilters: return Print(relay::FiltersReference());
    case relay::Command::kSchema: return Print(relay::ConfigSchema() + "\n");
    case relay::Command::kVersion: return Print(relay::VersionText() + "\n");
    case relay::Command::kHelp: return Print(relay::HelpText(options->topic));
  }
  return relay::kExitUsage;
}
