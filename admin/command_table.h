// SPDX-License-Identifier: MIT
// Every command of the program and every option, as data: what is parsed, and what the help prints.
#pragma once

#include <expected>
#include <span>
#include <string>
#include <string_view>

#include "admin/options.h"
#include "core/config/shape.h"

namespace relay {

struct CommandSpec {
  std::string_view name;  // "serve"; of a group, two words: "keys make"
  Command command;
  std::string_view arguments;  // "NAME", "FILE"; "[NAME]" may be left out
  std::string_view summary;
  std::string_view more = {};  // for its own help
  // Fields of an object, as relay.yaml has them, that are options too: --limits …; null: none.
  Shape (*fields)() = nullptr;

  // "keys" of "keys make"; of others the whole name.
  std::string_view group() const { return name.substr(0, name.find(' ')); }
  // "make" of "keys make"; of others "".
  std::string_view action() const;
};
std::span<const CommandSpec> Commands();

// Commands that stand together; the main help shows one line for all.
struct CommandGroup {
  std::string_view name;
  std::string_view summary;
};
std::span<const CommandGroup> CommandGroups();

struct OptionSpec {
  std::string_view name;
  std::string_view value;     // what stands for its value in the help; "" for a switch
  std::string_view commands;  // names and groups, one space between; "keys/make" is one of a group
  std::string_view summary;
  std::expected<void, std::string> (*set)(Options& options, std::string_view value);

  bool IsFor(const CommandSpec& command) const;
};
std::span<const OptionSpec> AllOptions();

// Named in the design and not there yet: told apart from typing errors.
std::span<const std::string_view> UnbuiltCommands();

}  // namespace relay
