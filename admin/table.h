// SPDX-License-Identifier: MIT
// Tables for people.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace relay {

using TableLine = std::vector<std::string>;

// Columns two spaces apart; those from `numbers` on to the right, the others to the left. Each line
// has as many cells as the first.
std::string TextTable(const std::vector<TableLine>& lines, size_t numbers = SIZE_MAX);

// No byte for a terminal to obey: some names come from outside.
std::string Printable(std::string text);

}  // namespace relay
