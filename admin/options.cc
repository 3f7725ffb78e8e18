// SPDX-License-Identifier: MIT
#include "admin/options.h"

#include <algorithm>

#include "admin/command_table.h"
#include "core/config/wording.h"

namespace relay {
namespace {

using Rest = std::span<const std::string_view>;

std::unexpected<std::string> NoSuchCommand(std::string_view name) {
  auto unbuilt = UnbuiltCommands();
  if (std::ranges::find(unbuilt, name) != unbuilt.end()) {
    return std::unexpected("'" + std::string(name) + "' is not built yet");
  }
  std::vector<std::string_view> names;
  for (const CommandSpec& spec : Commands()) names.push_back(spec.group());
  return std::unexpected("there is no command " + Quote(name) + DidYouMean(name, names) +
                         "; relay --help lists them");
}

std::unexpected<std::string> NoSuchAction(std::string_view group, std::string_view action) {
  std::vector<std::string_view> names;
  for (const CommandSpec& spec : Commands()) {
    if (spec.group() == group) names.push_back(spec.action());
  }
  std::string of(group);
  if (action.empty()) return std::unexpected("'" + of + "' needs one of " + Listed(names));
  return std::unexpected("'" + of + "' has no " + Quote(action) + DidYouMean(action, names) +
                         "; relay help " + of + " lists what there is");
}

bool IsGroup(std::string_view name) {
  return std::ranges::any_of(CommandGroups(),
                             [&](const auto& group) { return group.name == name; });
}

// Takes one word or two off `words`.
std::expected<const CommandSpec*, std::string> TakeCommand(Rest& words) {
  std::string_view first = words.front();
  words = words.subspan(1);
  bool group = IsGroup(first);
  std::string_view second;
  if (group && !words.empty() && !words.front().starts_with('-')) {
    second = words.front();
    words = words.subspan(1);
  }
  for (const CommandSpec& spec : Commands()) {
    if (spec.group() == first && spec.action() == second) return &spec;
  }
  if (group) return NoSuchAction(first, second);
  return NoSuchCommand(first);
}

std::string FieldOption(const FieldShape& field) {
  return "--" + field.name;
}

std::unexpected<std::string> NoSuchOption(std::string_view name, const CommandSpec& command,
                                          const Shape& fields) {
  std::vector<std::string> own;
  own.reserve(fields.fields.size());
  for (const FieldShape& field : fields.fields) own.push_back(FieldOption(field));
  std::vector<std::string_view> names(own.begin(), own.end());
  for (const OptionSpec& option : AllOptions()) {
    if (option.IsFor(command)) names.push_back(option.name);
  }
  names.push_back("--help");
  std::string of(command.name);
  return std::unexpected("'" + of + "' has no option " + Quote(name) + DidYouMean(name, names) +
                         "; relay help " + of + " lists them");
}

std::unexpected<std::string> NeedsValue(std::string_view name, std::string_view value) {
  return std::unexpected(std::string(name) + " needs a value: " + std::string(name) + " " +
                         std::string(value));
}

// An option's value: joined to it, or the next word; "" where there is none.
std::string_view TakeValue(std::string_view word, std::string_view name, Rest& rest) {
  if (name.size() < word.size()) return word.substr(name.size() + 1);
  if (rest.empty()) return {};
  std::string_view value = rest.front();
  rest = rest.subspan(1);
  return value;
}

std::expected<void, std::string> TakeOption(Options& options, const CommandSpec& command,
                                            const Shape& fields, std::string_view word,
                                            Rest& rest) {
  std::string_view name = word.substr(0, word.find('='));
  for (const OptionSpec& option : AllOptions()) {
    if (option.name != name || !option.IsFor(command)) continue;
    if (option.value.empty()) {
      if (name.size() < word.size()) return std::unexpected(std::string(name) + " takes no value");
      return option.set(options, "");
    }
    std::string_view value = TakeValue(word, name, rest);
    if (value.empty()) return NeedsValue(name, option.value);
    return option.set(options, value);
  }
  for (const FieldShape& field : fields.fields) {
    if (FieldOption(field) != name) continue;
    bool alone = field.shape.kind == Shape::Kind::kBool && name.size() == word.size();
    std::string_view value = alone ? "true" : TakeValue(word, name, rest);
    if (value.empty()) return NeedsValue(name, "VALUE");
    options.fields.emplace_back(field.name, value);
    return {};
  }
  return NoSuchOption(name, command, fields);
}

// Whether there are as many arguments as the command takes.
std::expected<void, std::string> CheckArguments(const Options& options,
                                                const CommandSpec& command) {
  auto words = static_cast<size_t>(std::ranges::count(command.arguments, ' ')) + 1;
  size_t most = command.arguments.empty() ? 0 : words;
  size_t least = command.arguments.starts_with('[') ? 0 : most;
  std::string of(command.name);
  if (options.names.size() > most) {
    return std::unexpected("'" + of + "' takes no argument " + Quote(options.names.back()));
  }
  if (options.names.size() < least) {
    return std::unexpected("'" + of + "' needs " + std::string(command.arguments) + ": relay " +
                           of + " " + std::string(command.arguments));
  }
  return {};
}

// Reads what follows the command.
std::expected<Options, std::string> ParseRest(const CommandSpec& command, Rest rest) {
  Options options;
  options.command = command.command;
  options.action = command.action();
  const Shape fields = command.fields == nullptr ? Shape() : command.fields();
  while (!rest.empty()) {
    std::string_view word = rest.front();
    rest = rest.subspan(1);
    if (word == "--help" || word == "-h") {
      options.topic = command.name;
      options.command = Command::kHelp;
      return options;
    }
    if (!word.starts_with('-')) {
      options.names.emplace_back(word);
    } else if (auto taken = TakeOption(options, command, fields, word, rest); !taken) {
      return std::unexpected(taken.error());
    }
  }
  if (auto checked = CheckArguments(options, command); !checked) {
    return std::unexpected(checked.error());
  }
  return options;
}

// `relay help [COMMAND [ACTION]]`
std::expected<Options, std::string> ParseHelp(Rest words) {
  Options options;
  options.command = Command::kHelp;
  if (words.empty()) return options;
  if (words.size() == 1 && IsGroup(words.front())) {
    options.topic = words.front();
    return options;
  }
  auto command = TakeCommand(words);
  if (!command) return std::unexpected(command.error());
  options.topic = (*command)->name;
  if (words.empty()) return options;
  return std::unexpected("'help' takes no argument " + Quote(words.front()));
}

struct HelpLine {
  std::string name;
  std::string says;
};

// What the names say begins in one column.
std::string HelpLines(const std::vector<HelpLine>& lines) {
  auto width = [](std::string_view text) {
    return static_cast<size_t>(
        std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
  };
  size_t widest = 0;
  for (const HelpLine& line : lines) widest = std::max(widest, width(line.name));
  std::string text;
  for (const HelpLine& line : lines) {
    text += "  " + line.name + std::string(widest + 2 - width(line.name), ' ') + line.says + "\n";
  }
  return text;
}

std::string OptionLines(const CommandSpec& command) {
  std::vector<HelpLine> lines;
  if (command.fields != nullptr) {
    for (const FieldShape& field : command.fields().fields) {
      bool flag = field.shape.kind == Shape::Kind::kBool;
      lines.push_back({FieldOption(field) + (flag ? "" : " VALUE"), std::string(field.doc)});
    }
  }
  for (const OptionSpec& option : AllOptions()) {
    if (!option.IsFor(command)) continue;
    std::string name(option.name);
    if (!option.value.empty()) name += " " + std::string(option.value);
    lines.push_back({std::move(name), std::string(option.summary)});
  }
  return HelpLines(lines);
}

std::string HelpOfCommand(const CommandSpec& spec) {
  std::string name(spec.name);
  std::string options = OptionLines(spec);
  std::string usage;
  if (!spec.arguments.empty()) usage += " " + std::string(spec.arguments);
  if (!options.empty()) usage += " [OPTION]…";
  std::string text = "relay " + name + usage + ": " + std::string(spec.summary) + "\n";
  if (!spec.more.empty()) text += std::string(spec.more) + "\n";
  if (!options.empty()) text += "\n" + options;
  return text;
}

std::string HelpOfGroup(const CommandGroup& group) {
  std::string name(group.name);
  std::vector<HelpLine> lines;
  for (const CommandSpec& spec : Commands()) {
    if (spec.group() != group.name) continue;
    std::string usage(spec.name);
    if (!spec.arguments.empty()) usage += " " + std::string(spec.arguments);
    lines.push_back({std::move(usage), std::string(spec.summary)});
  }
  return "relay " + name + ": " + std::string(group.summary) + "\n\n" + HelpLines(lines) +
         "\n  relay help " + name + " COMMAND tells the options of one.\n";
}

std::string HelpOfAll() {
  std::vector<HelpLine> lines;
  std::string_view last_group;
  for (const CommandSpec& spec : Commands()) {
    std::string_view summary = spec.summary;
    if (!spec.action().empty()) {
      if (spec.group() == last_group) continue;
      last_group = spec.group();
      for (const CommandGroup& group : CommandGroups()) {
        if (group.name == last_group) summary = group.summary;
      }
    }
    lines.push_back({std::string(spec.group()), std::string(summary)});
  }
  return "relay: passes requests of Claude and Gemini clients on, through filters, with your "
         "accounts.\n\n"
         "  relay [COMMAND] [OPTION]…\n\n" +
         HelpLines(lines) +
         "\n  relay help COMMAND tells its options; relay --version tells the version.\n"
         "  Exit codes: 0, 1 failed, 2 bad usage or relay.yaml.\n";
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
  if (arguments.empty()) return Options();
  std::string_view first = arguments.front();
  Rest rest = arguments.subspan(1);
  if (first == "--version" || first == "-V") {
    if (!rest.empty()) return std::unexpected("--version stands alone");
    Options options;
    options.command = Command::kVersion;
    return options;
  }
  if (first == "--help" || first == "-h") return ParseHelp({});
  if (first == "help") return ParseHelp(rest);
  if (first.starts_with('-')) return ParseRest(Commands().front(), arguments);
  rest = arguments;
  auto command = TakeCommand(rest);
  if (command) return ParseRest(**command, rest);
  if (rest.size() == 1 && IsGroup(first) && (rest[0] == "--help" || rest[0] == "-h")) {
    return ParseHelp(arguments.first(1));
  }
  return std::unexpected(command.error());
}

std::string HelpText(std::string_view topic) {
  for (const CommandGroup& group : CommandGroups()) {
    if (group.name == topic) return HelpOfGroup(group);
  }
  for (const CommandSpec& spec : Commands()) {
    if (spec.name == topic) return HelpOfCommand(spec);
  }
  return HelpOfAll();
}

std::string VersionText() {
  return "relay " RELAY_VERSION;
}

}  // namespace relay
