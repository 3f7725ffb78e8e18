// SPDX-License-Identifier: MIT
#include "admin/command_table.h"

#include <algorithm>
#include <array>

namespace relay {
namespace {

using Set = std::expected<void, std::string>;

constexpr CommandSpec kCommands[] = {
    {"serve", Command::kServe, "", "serves what relay.yaml declares; the default",
     "SIGTERM lets answers in flight end, up to drain-timeout; a second one stops at once.\n"
     "SIGHUP reads relay.yaml anew, as a change of the file does."},
    {"check", Command::kCheck, "", "says what is wrong with relay.yaml, and runs the tests in it",
     "Prints every problem with line and column (exit code 2), else the outcome of each test\n"
     "(exit code 1 when one fails). Nothing is sent anywhere."},
    {"usage", Command::kUsage, "", "what was used, and what it cost",
     "Asks the relay that runs with the same data folder."},
    {"health", Command::kHealth, "", "exit code 0 if the relay answers, else 1",
     "Asks over the control socket in the data folder, else at the first address of relay.yaml."},
    {"reload", Command::kReload, "", "has the running relay read relay.yaml anew",
     "The relay checks its file, runs the tests in it, and puts it in force if all is well: no\n"
     "connection is closed, no answer cut. Prints what changed, or why nothing did (exit code 2;\n"
     "1 when a test fails). It does the same by itself when the file changes."},
    {"diff", Command::kDiff, "", "what a relay.yaml would change of the running relay",
     "The relay reads the file with its own environment and compares it with what is in force;\n"
     "nothing is changed. Prints one line a change, no secrets. Exit code 2: the file is wrong."},
    {"filters", Command::kFilters, "", "what each filter does and takes"},
    {"schema", Command::kSchema, "", "the JSON schema of relay.yaml, for an editor"},
    {"help", Command::kHelp, "[COMMAND]", "this page, or the page of a command"},
};

// Those whose names have two words.
constexpr std::array<CommandGroup, 0> kGroups = {};

constexpr std::string_view kUnbuilt[] = {"explain", "keys",   "accounts", "rekey",
                                         "state",   "import", "doctor"};

const OptionSpec kOptions[] = {
    {"--config", "FILE", "serve check usage health reload diff",
     "instead of relay.yaml in this folder",
     [](Options& o, std::string_view value) -> Set {
       o.config = value;
       o.config_given = true;
       return {};
     }},
    {"--port-file", "FILE", "serve", "gets the ports in use, one a line, once the relay serves",
     [](Options& o, std::string_view value) -> Set {
       o.port_file = value;
       return {};
     }},
    {"--by", "WHAT", "usage", "key (the default), model, account or day",
     [](Options& o, std::string_view value) -> Set {
       auto by = ParseLedgerBy(value);
       if (!by) return std::unexpected("--by " + by.error());
       o.by = *by;
       return {};
     }},
    {"--json", "", "usage", "for programs",
     [](Options& o, std::string_view) -> Set {
       o.json = true;
       return {};
     }},
    {"--data", "FOLDER", "usage health reload diff",
     "the relay's data folder, instead of looking it up in relay.yaml",
     [](Options& o, std::string_view value) -> Set {
       o.data = value;
       return {};
     }},
    {"--url", "URL", "health", "a relay elsewhere: http://127.0.0.1:3000",
     [](Options& o, std::string_view value) -> Set {
       o.url = value;
       return {};
     }},
};

}  // namespace

std::string_view CommandSpec::action() const {
  size_t space = name.find(' ');
  return space == std::string_view::npos ? std::string_view() : name.substr(space + 1);
}

bool OptionSpec::IsFor(const CommandSpec& command) const {
  std::string_view rest = commands;
  while (!rest.empty()) {
    size_t end = std::min(rest.find(' '), rest.size());
    std::string_view word = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    size_t slash = word.find('/');
    if (word.substr(0, slash) != command.group()) continue;
    if (slash == std::string_view::npos || word.substr(slash + 1) == command.action()) return true;
  }
  return false;
}

std::span<const CommandSpec> Commands() {
  return kCommands;
}

std::span<const CommandGroup> CommandGroups() {
  return kGroups;
}

std::span<const OptionSpec> AllOptions() {
  return kOptions;
}

std::span<const std::string_view> UnbuiltCommands() {
  return kUnbuilt;
}

}  // namespace relay
