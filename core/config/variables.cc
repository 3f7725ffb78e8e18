// SPDX-License-Identifier: MIT
#include "core/config/variables.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <expected>
#include <memory>
#include <optional>
#include <utility>

#include "core/base/secret.h"

namespace relay {
namespace {

constexpr size_t kMaxFileBytes = size_t{64} << 10;

// POSIX (XBD 8.1), with lower case too.
bool IsVariableName(std::string_view name) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

// The file's text, or why not, to be said after "file 'x' ".
std::expected<std::string, std::string> ReadSmallFile(const std::string& path) {
  struct Close {
    void operator()(FILE* file) const { std::fclose(file); }
  };
  // Without O_NONBLOCK a FIFO would block here for ever; a folder opens, but has no text.
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) {
    return std::unexpected(std::string("cannot be read: ") + std::strerror(errno));
  }
  if (!S_ISREG(status.st_mode)) return std::unexpected("is no regular file");
  std::unique_ptr<FILE, Close> file(std::fopen(path.c_str(), "rbe"));
  if (!file) return std::unexpected(std::string("cannot be read: ") + std::strerror(errno));
  std::string text(kMaxFileBytes + 1, '\0');
  size_t size = std::fread(text.data(), 1, text.size(), file.get());
  bool failed = std::ferror(file.get()) != 0;
  WipeBytes(text.data() + size, text.size() - size);
  text.resize(size);
  if (failed) return std::unexpected("cannot be read");
  if (size > kMaxFileBytes) return std::unexpected("is larger than 64KiB");
  if (text.find('\0') != std::string::npos) return std::unexpected("holds a zero byte");
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  if (text.empty()) return std::unexpected("is empty");
  return text;
}

}  // namespace

Environment ProcessEnvironment() {
  return [](std::string_view name) -> std::optional<std::string> {
    const char* value = std::getenv(std::string(name).c_str());
    if (!value) return std::nullopt;
    return std::string(value);
  };
}

std::string JoinFolder(const std::string& folder, std::string_view path) {
  if (folder.empty() || path.starts_with('/')) return std::string(path);
  std::string joined = folder;
  if (!joined.ends_with('/')) joined += '/';
  return joined.append(path);
}

bool Variables::Refuse(Node& scalar, std::string what) {
  scalar.broken = true;
  problems_.Add(scalar.place, std::move(what));
  return false;
}

void Variables::Replace(Node& scalar) {
  std::string_view text = scalar.text;
  if (text.find("${") == std::string_view::npos) return;
  std::string out;
  size_t at = 0;
  while (at < text.size()) {
    size_t dollar = std::min(text.find('$', at), text.size());
    out.append(text.substr(at, dollar - at));
    at = dollar;
    std::string_view rest = text.substr(at);
    if (rest.starts_with("$${")) {
      out += "${";
      at += 3;
    } else if (rest.starts_with("${")) {
      size_t end = text.find('}', at);
      if (end == std::string_view::npos) {
        Refuse(scalar, "'${' without '}'; write '$${' for a literal one");
        return;
      }
      if (!Append(scalar, text.substr(at + 2, end - at - 2), out)) return;
      at = end + 1;
    } else if (!rest.empty()) {
      out += '$';
      ++at;
    }
  }
  scalar.text = std::move(out);
}

bool Variables::Append(Node& scalar, std::string_view inner, std::string& out) {
  if (inner.starts_with("file:")) return AppendFile(scalar, inner.substr(5), out);
  size_t end = std::min(inner.find_first_of(":-=+?"), inner.size());
  std::string name(inner.substr(0, end));
  std::string_view rest = inner.substr(end);
  if (!IsVariableName(name)) {
    return Refuse(scalar, "'${…}' needs the name of a variable: letters, digits and '_'");
  }
  bool has_default = rest.starts_with(":=");
  if (!rest.empty() && !has_default) {
    return Refuse(scalar, "after ${" + name + " only ':=' may follow: write ${" + name + ":=…}");
  }
  std::string_view fallback = has_default ? rest.substr(2) : std::string_view();
  if (fallback.find("${") != std::string_view::npos) {
    return Refuse(scalar, "the default of ${" + name + ":=…} may not hold a ${…} of its own");
  }
  std::optional<std::string> value = environment_(name);
  if (value && !value->empty()) {
    brought_in_ += value->size();
    if (brought_in_ > kMaxYamlBytes) return Refuse(scalar, "the variables hold more than 1MiB");
    scalar.from_outside = true;
    out += *value;
    return true;
  }
  if (!has_default) {
    return Refuse(scalar, "the variable " + name + " is not set, or empty; set it, or write ${" +
                              name + ":=} where it may be missing");
  }
  if (fallback.empty() && scalar.emptied_by.empty()) scalar.emptied_by = name;
  out += fallback;
  return true;
}

bool Variables::AppendFile(Node& scalar, std::string_view path, std::string& out) {
  if (path.empty()) return Refuse(scalar, "'${file:…}' needs a path");
  if (path.find("${") != std::string_view::npos) {
    return Refuse(scalar, "the path of ${file:…} may not hold a ${…}");
  }
  std::string joined = JoinFolder(folder_, path);
  if (files_ != nullptr) files_->push_back(joined);
  auto text = ReadSmallFile(joined);
  if (!text) return Refuse(scalar, "file '" + std::string(path) + "' " + text.error());
  brought_in_ += text->size();
  if (brought_in_ > kMaxYamlBytes) return Refuse(scalar, "the variables hold more than 1MiB");
  scalar.from_outside = true;
  out += *text;
  WipeString(*text);
  return true;
}

}  // namespace relay
