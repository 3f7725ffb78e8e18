// SPDX-License-Identifier: MIT
// The command line: `relay [COMMAND] [--option value]…`, read into a struct, and its help. What
// there is stands in command_table.h.
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/clock.h"
#include "core/store/ledger.h"

namespace relay {

// Exit codes of every command.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;  // bad usage, or a relay.yaml that cannot be served

enum class Command : uint8_t {
  kServe,
  kCheck,
  kExplain,
  kUsage,
  kHealth,
  kReload,
  kDiff,
  kAccounts,
  kKeys,
  kAlerts,
  kRekey,
  kState,
  kFilters,
  kSchema,
  kVersion,
  kHelp
};

struct Options {
  Command command = Command::kServe;
  std::string_view action;         // of a group: "make" of `keys make`
  std::vector<std::string> names;  // arguments that are no options
  // Fields of an object, by their names in relay.yaml, with what was given for them.
  std::vector<std::pair<std::string, std::string>> fields;
  std::string config = "relay.yaml";
  bool config_given = false;
  std::string port_file;         // serve: written when it is ready, one port a line
  LedgerBy by = LedgerBy::kKey;  // usage
  bool json = false;             // for programs
  std::string data;              // the data folder, instead of the config's
  // explain
  std::string key;                   // the name of a relay key
  std::vector<std::string> headers;  // "name: value"
  std::string body;                  // a file, or "-"
  bool offline = false;              // relay.yaml alone
  // accounts
  std::string cluster;
  std::string project;
  std::string model;
  std::string key_env;  // the variable that has the API key; explain: the relay key
  bool setup_token = false;
  bool accept_terms = false;
  std::string proxy_env;        // the variable that has the proxy's URL
  std::string url;              // health: "http://127.0.0.1:3000"
  bool deleted = false;         // keys list: also those that were deleted
  bool purge = false;           // keys delete: for good
  Duration overlap{};           // keys rotate: how long the old one stays valid
  bool replace = false;         // state import: what is there goes
  bool force = false;           // state import: nobody else uses the store, whatever it says
  std::string passphrase_file;  // state
  std::string topic;            // help: a command's or a group's name, or ""
};

// `arguments` without the program's name. The error is one line for standard error: what is wrong,
// and the nearest name; exit with kExitUsage then.
std::expected<Options, std::string> ParseOptions(std::span<const std::string_view> arguments);

// Of one command or group, or of all when `topic` is "".
std::string HelpText(std::string_view topic);
// "relay 0.1.0"
std::string VersionText();

// "key", "model", "account", "day"
std::string_view NameOf(LedgerBy by);
std::expected<LedgerBy, std::string> ParseLedgerBy(std::string_view word);

}  // namespace relay
