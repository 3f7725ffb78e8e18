// SPDX-License-Identifier: MIT
#include "admin/table.h"

#include <algorithm>
#include <string_view>

namespace relay {
namespace {

// Bytes that begin a character of UTF-8 are as many as the columns of ordinary text.
size_t WidthOf(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

std::string TextTable(const std::vector<TableLine>& lines, size_t numbers) {
  if (lines.empty()) return "";
  std::vector<size_t> widths(lines.front().size());
  for (const TableLine& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], WidthOf(line[i]));
  }
  std::string text;
  for (const TableLine& line : lines) {
    std::string row;
    for (size_t i = 0; i < line.size(); ++i) {
      std::string space(widths[i] - WidthOf(line[i]), ' ');
      if (i > 0) row += "  ";
      row += i >= numbers ? space + line[i] : line[i] + space;
    }
    row.erase(row.find_last_not_of(' ') + 1);
    text += row + '\n';
  }
  return text;
}

std::string Printable(std::string text) {
  for (char& c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) c = '?';
  }
  return text;
}

}  // namespace relay
