// SPDX-License-Identifier: MIT
#include "admin/options.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/config/wording.h"

namespace relay {
namespace {

struct CommandSpec {
  std::string_view name;
  Command command;
  std::string_view summary;
  std::string_view more;  // for its own help
};

constexpr CommandSpec kCommands[] = {
    {"serve", Command::kServe, "serves what relay.yaml declares; the default",
     "SIGTERM lets answers in flight end, up to drain-timeout; a second one stops at once."},
    {"check", Command::kCheck, "says what is wrong with relay.yaml, and runs the tests in it",
     "Prints every problem with line and column (exit code 2), else the outcome of each test\n"
     "(exit code 1 when one fails). Nothing is sent anywhere."},
    {"usage", Command::kUsage, "what was used, and what it cost",
     "Asks the relay that runs with the same data folder."},
    {"health", Command::kHealth, "exit code 0 if the relay answers, else 1",
     "Asks over the control socket in the data folder, else at the first address of relay.yaml."},
    {"filters", Command::kFilters, "what each filter does and takes", ""},
    {"schema", Command::kSchema, "the JSON schema of relay.yaml, for an editor", ""},
    {"help", Command::kHelp, "this page, or the page of a command", ""},
};

// Named in the design, and told apart from typing errors.
constexpr std::string_view kUnbuilt[] = {"explain", "keys",  "accounts", "diff",
                                         "rekey",   "state", "import",   "doctor"};

constexpr unsigned Bit(Command command) {
  return 1U << static_cast<unsigned>(command);
}
constexpr unsigned kWithConfig =
    Bit(Command::kServe) | Bit(Command::kCheck) | Bit(Command::kUsage) | Bit(Command::kHealth);

using Set = std::expected<void, std::string> (*)(Options& options, std::string_view value);

struct OptionSpec {
  std::string_view name;
  std::string_view value;  // what stands for its value in the help; "" for a switch
  unsigned commands;
  std::string_view summary;
  Set set;
};

const OptionSpec kOptions[] = {
    {"--config", "FILE", kWithConfig, "instead of relay.yaml in this folder",
     [](Options& o, std::string_view value) -> std::expected<void, std::string> {
       o.config = value;
       o.config_given = true;
       return {};
     }},
    {"--port-file", "FILE", Bit(Command::kServe),
     "gets the ports in use, one a line, once the relay serves",
     [](Options& o, std::string_view value) -> std::expected<void, std::string> {
       o.port_file = value;
       return {};
     }},
    {"--by", "WHAT", Bit(Command::kUsage), "key (the default), model, account or day",
     [](Options& o, std::string_view value) -> std::expected<void, std::string> {
       auto by = ParseLedgerBy(value);
       if (!by) return std::unexpected("--by " + by.error());
       o.by = *by;
       return {};
     }},
    {"--json", "", Bit(Command::kUsage), "for programs",
     [](Options& o, std::string_view) -> std::expected<void, std::string> {
       o.json = true;
       return {};
     }},
    {"--data", "FOLDER", Bit(Command::kUsage) | Bit(Command::kHealth),
     "the relay's data folder, instead of looking it up in relay.yaml",
     [](Options& o, std::string_view value) -> std::expected<void, std::string> {
       o.data = value;
       return {};
     }},
    {"--url", "URL", Bit(Command::kHealth), "a relay elsewhere: http://127.0.0.1:3000",
     [](Options& o, std::string_view value) -> std::expected<void, std::string> {
       o.url = value;
       return {};
     }},
};

const CommandSpec* FindCommand(std::string_view name) {
  const auto* at = std::find_if(std::begin(kCommands), std::end(kCommands),
                                [&](const CommandSpec& spec) { return spec.name == name; });
  return at == std::end(kCommands) ? nullptr : at;
}

const CommandSpec& SpecOf(Command command) {
  return *std::find_if(std::begin(kCommands), std::end(kCommands),
                       [&](const CommandSpec& spec) { return spec.command == command; });
}

bool Has(const OptionSpec& option, Command command) {
  return (option.commands & Bit(command)) != 0;
}

std::unexpected<std::string> NoSuchCommand(std::string_view name) {
  if (std::find(std::begin(kUnbuilt), std::end(kUnbuilt), name) != std::end(kUnbuilt)) {
    return std::unexpected("'" + std::string(name) + "' is not built yet");
  }
  std::vector<std::string_view> names;
  for (const CommandSpec& spec : kCommands) names.push_back(spec.name);
  return std::unexpected("there is no command " + Quote(name) + DidYouMean(name, names) +
                         "; relay --help lists them");
}

std::unexpected<std::string> NoSuchOption(std::string_view name, Command command) {
  std::vector<std::string_view> names;
  for (const OptionSpec& option : kOptions) {
    if (Has(option, command)) names.push_back(option.name);
  }
  names.push_back("--help");
  std::string of(SpecOf(command).name);
  return std::unexpected("'" + of + "' has no option " + Quote(name) + DidYouMean(name, names) +
                         "; relay help " + of + " lists them");
}

// Reads what follows the command.
std::expected<Options, std::string> ParseRest(Options options,
                                              std::span<const std::string_view> rest) {
  while (!rest.empty()) {
    std::string_view word = rest.front();
    rest = rest.subspan(1);
    if (word == "--help" || word == "-h") {
      options.topic = SpecOf(options.command).name;
      options.command = Command::kHelp;
      return options;
    }
    std::string_view name = word.substr(0, word.find('='));
    const auto* option = std::find_if(
        std::begin(kOptions), std::end(kOptions),
        [&](const OptionSpec& spec) { return spec.name == name && Has(spec, options.command); });
    if (option == std::end(kOptions)) {
      if (word.starts_with('-')) return NoSuchOption(name, options.command);
      return std::unexpected("'" + std::string(SpecOf(options.command).name) +
                             "' takes no argument " + Quote(word));
    }
    std::string_view value;
    bool joined = name.size() < word.size();
    if (option->value.empty()) {
      if (joined) return std::unexpected(std::string(name) + " takes no value");
    } else if (joined) {
      value = word.substr(name.size() + 1);
    } else if (!rest.empty()) {
      value = rest.front();
      rest = rest.subspan(1);
    }
    if (!option->value.empty() && value.empty()) {
      return std::unexpected(std::string(name) + " needs a value: " + std::string(name) + " " +
                             std::string(option->value));
    }
    if (auto set = option->set(options, value); !set) return std::unexpected(set.error());
  }
  return options;
}

std::string Padded(std::string_view text, size_t width) {
  std::string out(text);
  out.append(width > text.size() ? width - text.size() : 1, ' ');
  return out;
}

std::string OptionLines(Command command) {
  constexpr size_t kWidth = 20;
  std::string text;
  for (const OptionSpec& option : kOptions) {
    if (!Has(option, command)) continue;
    std::string name(option.name);
    if (!option.value.empty()) name += " " + std::string(option.value);
    text += "  " + Padded(name, kWidth) + std::string(option.summary) + "\n";
  }
  return text;
}

}  // namespace

std::string_view NameOf(LedgerBy by) {
  switch (by) {
    case LedgerBy::kKey: return "key";
    case LedgerBy::kModel: return "model";
    case LedgerBy::kAccount: return "account";
    case LedgerBy::kDay: return "day";
  }
  return "";
}

std::expected<LedgerBy, std::string> ParseLedgerBy(std::string_view word) {
  constexpr LedgerBy kAll[] = {LedgerBy::kKey, LedgerBy::kModel, LedgerBy::kAccount,
                               LedgerBy::kDay};
  std::vector<std::string_view> names;
  for (LedgerBy by : kAll) {
    if (NameOf(by) == word) return by;
    names.push_back(NameOf(by));
  }
  return std::unexpected("must be " + Listed(names) + ", not " + Quote(word) +
                         DidYouMean(word, names));
}

std::expected<Options, std::string> ParseOptions(std::span<const std::string_view> arguments) {
  Options options;
  if (arguments.empty()) return options;
  std::string_view first = arguments.front();
  std::span<const std::string_view> rest = arguments.subspan(1);
  if (first == "--version" || first == "-V") {
    options.command = Command::kVersion;
    if (!rest.empty()) return std::unexpected("--version stands alone");
    return options;
  }
  if (first == "--help" || first == "-h") {
    options.command = Command::kHelp;
    return options;
  }
  if (first.starts_with('-')) return ParseRest(options, arguments);
  const CommandSpec* spec = FindCommand(first);
  if (spec == nullptr) return NoSuchCommand(first);
  options.command = spec->command;
  if (spec->command != Command::kHelp || rest.empty()) return ParseRest(options, rest);
  const CommandSpec* topic = FindCommand(rest.front());
  if (topic == nullptr) return NoSuchCommand(rest.front());
  options.topic = topic->name;
  return ParseRest(options, rest.subspan(1));
}

std::string HelpText(std::string_view topic) {
  if (!topic.empty()) {
    const CommandSpec& spec = *FindCommand(topic);
    std::string name(spec.name);
    std::string options = OptionLines(spec.command);
    std::string usage = spec.command == Command::kHelp ? " [COMMAND]" : "";
    if (!options.empty()) usage += " [OPTION]…";
    std::string text = "relay " + name + usage + ": " + std::string(spec.summary) + "\n";
    if (!spec.more.empty()) text += std::string(spec.more) + "\n";
    if (!options.empty()) text += "\n" + options;
    return text;
  }
  constexpr size_t kWidth = 10;
  std::string text =
      "relay: passes requests of Claude and Gemini clients on, through filters, with your "
      "accounts.\n\n"
      "  relay [COMMAND] [OPTION]…\n\n";
  for (const CommandSpec& spec : kCommands) {
    text += "  " + Padded(spec.name, kWidth) + std::string(spec.summary) + "\n";
  }
  return text +
         "\n  relay help COMMAND tells its options; relay --version tells the version.\n"
         "  Exit codes: 0, 1 failed, 2 bad usage or relay.yaml.\n";
}

std::string VersionText() {
  return "relay " RELAY_VERSION;
}

}  // namespace relay
