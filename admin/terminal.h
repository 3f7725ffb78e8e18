// SPDX-License-Identifier: MIT
// What a person types.
#pragma once

#include <optional>
#include <string>

namespace relay {

bool AtTerminal();  // standard input is one
// One line of standard input without its end; nothing at the end of the input. `hidden`: a terminal
// does not show it. Whoever ends the program meanwhile finds the terminal as it was.
std::optional<std::string> ReadLine(bool hidden);

}  // namespace relay
