// SPDX-License-Identifier: MIT
// A request's path into the check before routing: what is taken stays as it is when it is checked
// again, and nobody who decodes it, once or more often, finds another path in it.
#include "core/exchange/path.h"
#include "tests/fuzz/fuzz.h"

namespace relay {
namespace {

int Digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string Decode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    int high = text[i] == '%' && i + 2 < text.size() ? Digit(text[i + 1]) : -1;
    int low = high >= 0 ? Digit(text[i + 2]) : -1;
    if (low < 0) {
      out += text[i];
    } else {
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

size_t Slashes(std::string_view path) {
  size_t count = 0;
  for (char c : path) count += c == '/' ? 1 : 0;
  return count;
}

void CheckSegments(std::string_view path, std::string_view taken) {
  Check(path.find('\0') == std::string_view::npos, "a NUL", taken);
  Check(path.find('\\') == std::string_view::npos, "a backslash", taken);
  std::string_view rest = path.substr(1);
  for (;;) {
    size_t end = rest.find('/');
    std::string_view segment = rest.substr(0, end);
    Check(segment != "." && segment != "..", "a dot segment", taken);
    if (end == std::string_view::npos) return;
    rest.remove_prefix(end + 1);
  }
}

}  // namespace

void Fuzz(std::string_view input) {
  Result<std::string> path = NormalisePath(input);
  if (!path) {
    Check(path.error().party == Party::kClient, "a bad path is the client's fault");
    return;
  }
  Check(path->starts_with('/'), "does not begin with a slash", *path);
  Check(path->find("//") == std::string::npos, "an empty segment", *path);
  Result<std::string> again = NormalisePath(*path);
  Check(again && *again == *path, "not stable", *path);
  std::string decoded = *path;
  for (;;) {
    CheckSegments(decoded, *path);
    Check(Slashes(decoded) == Slashes(*path), "a slash more", *path);
    std::string further = Decode(decoded);
    if (further == decoded) break;
    decoded = std::move(further);
  }
  // Whole segments: a prefix that matches is followed by a slash or nothing.
  for (std::string_view prefix : {"/", "/api", "/v1beta/models"}) {
    if (!HasPrefix(*path, prefix)) continue;
    std::string_view after = AfterPrefix(*path, prefix);
    Check(after.starts_with('/'), "what is behind a prefix begins with a slash", *path);
    Check(path->ends_with(after) || after == "/", "what is behind a prefix is another", *path);
  }
}

}  // namespace relay
