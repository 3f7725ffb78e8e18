// SPDX-License-Identifier: MIT
// How ledger rows and names stand in Redis: fields and values of hashes, as texts that people can
// read. A row of 2026-09-21: "d|20717|alice|claude-haiku-4-5|claude/team" → "12 0 3400 …".
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/store/ledger_rows.h"

namespace relay {

using RedisFields = std::vector<std::pair<std::string, std::string>>;

// The parts with '|' between them; one that stands in a part is written "\|", and '\' as "\\".
std::string JoinRedisName(std::initializer_list<std::string_view> parts);
std::vector<std::string> SplitRedisName(std::string_view name);

// One field and its value for each row.
RedisFields FieldsOf(const RowSet& rows);
// Adds the row of a field; false when it is none.
bool AddRow(std::string_view field, std::string_view value, RowSet& to);

}  // namespace relay
