// SPDX-License-Identifier: MIT
#include "core/exchange/path.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/base/percent.h"

namespace relay {
namespace {

// More than this nobody encodes, and each reading costs a pass.
constexpr int kMostReadings = 4;

std::unexpected<Error> Malformed(const char* what) {
  return Fail(Party::kClient, Fault::kMalformed, what);
}

bool HasDotSegment(std::string_view path) {
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    std::string_view segment = path.substr(0, path.find('/'));
    if (segment == "." || segment == "..") return true;
    path.remove_prefix(segment.size());
  }
  return false;
}

// Replaces escapes by their bytes. What is no escape is refused in the path as it was sent, and
// stays as it is where only a second reader would find it.
Result<std::string> Decode(std::string_view path, bool as_sent) {
  std::string out;
  out.reserve(path.size());
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '\\' || path[i] == 0) return Malformed("the path has a backslash or NUL");
    if (path[i] != '%') {
      out += path[i];
      continue;
    }
    std::optional<char> byte = EscapeAt(path, i);
    if (!byte) {
      if (as_sent) return Malformed("the path has a bad percent escape");
      out += path[i];
      continue;
    }
    if (*byte == '/' || *byte == '\\' || *byte == 0) {
      return Malformed("the path has an escaped slash or NUL");
    }
    out += *byte;
    i += 2;
  }
  return out;
}

// Whoever decodes the path, once or again, must find the same segments in it.
Result<Unit> CheckReadings(std::string_view path) {
  constexpr std::string_view kRead("%\\\0", 3);
  bool plain =
      std::ranges::none_of(kRead, [&](char c) { return path.find(c) != std::string_view::npos; });
  if (plain && !HasDotSegment(path)) return Unit{};
  std::string last(path);
  for (int reading = 0; reading < kMostReadings; ++reading) {
    if (HasDotSegment(last)) return Malformed("the path has a dot segment");
    Result<std::string> next = Decode(last, /*as_sent=*/reading == 0);
    if (!next) return std::unexpected(next.error());
    if (*next == last) return Unit{};
    last = std::move(*next);
  }
  return Malformed("the path is encoded over and over");
}

}  // namespace

Result<std::string> NormalisePath(std::string_view path) {
  if (path.empty() || path.front() != '/') {
    return Fail(Party::kClient, Fault::kMalformed, "the path does not begin with '/'");
  }
  if (auto checked = CheckReadings(path); !checked) return std::unexpected(checked.error());
  if (path.find("//") == std::string_view::npos) return std::string(path);
  std::string out;
  out.reserve(path.size());
  for (char c : path) {
    if (c != '/' || !out.ends_with('/')) out += c;
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
