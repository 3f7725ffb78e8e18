// SPDX-License-Identifier: MIT
#include "core/exchange/path.h"

namespace relay {
namespace {

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// A segment is a dot segment if it reads "." or ".." once %2e is a dot.
bool IsDotSegment(std::string_view segment) {
  int dots = 0;
  for (size_t i = 0; i < segment.size(); ++i) {
    if (segment[i] == '.') {
      ++dots;
    } else if (segment[i] == '%' && i + 2 < segment.size() && segment[i + 1] == '2' &&
               (segment[i + 2] == 'e' || segment[i + 2] == 'E')) {
      ++dots;
      i += 2;
    } else {
      return false;
    }
  }
  return dots == 1 || dots == 2;
}

Result<Unit> CheckEscapes(std::string_view path) {
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '\\') return Fail(Party::kClient, Fault::kMalformed, "the path has a backslash");
    if (path[i] != '%') continue;
    int high = i + 2 < path.size() ? HexValue(path[i + 1]) : -1;
    int low = i + 2 < path.size() ? HexValue(path[i + 2]) : -1;
    if (high < 0 || low < 0) {
      return Fail(Party::kClient, Fault::kMalformed, "the path has a bad percent escape");
    }
    int value = high * 16 + low;
    if (value == '/' || value == '\\' || value == 0) {
      return Fail(Party::kClient, Fault::kMalformed, "the path has an escaped slash or NUL");
    }
    i += 2;
  }
  return Unit{};
}

}  // namespace

Result<std::string> NormalisePath(std::string_view path) {
  if (path.empty() || path.front() != '/') {
    return Fail(Party::kClient, Fault::kMalformed, "the path does not begin with '/'");
  }
  if (auto checked = CheckEscapes(path); !checked) return std::unexpected(checked.error());
  std::string out;
  out.reserve(path.size());
  for (size_t i = 0; i < path.size();) {
    // Here path[i] is '/': one of a run is kept.
    while (i + 1 < path.size() && path[i + 1] == '/') ++i;
    size_t end = path.find('/', i + 1);
    std::string_view segment =
        path.substr(i + 1, (end == std::string_view::npos ? path.size() : end) - i - 1);
    if (IsDotSegment(segment)) {
      return Fail(Party::kClient, Fault::kMalformed, "the path has a dot segment");
    }
    out += '/';
    out += segment;
    i = end == std::string_view::npos ? path.size() : end;
  }
  return out;
}

bool HasPrefix(std::string_view path, std::string_view prefix) {
  if (prefix == "/") return true;
  if (!path.starts_with(prefix)) return false;
  return path.size() == prefix.size() || path[prefix.size()] == '/';
}

std::string_view AfterPrefix(std::string_view path, std::string_view prefix) {
  if (prefix == "/" || prefix.empty()) return path;
  std::string_view rest = path.substr(prefix.size());
  return rest.empty() ? std::string_view("/") : rest;
}

}  // namespace relay
