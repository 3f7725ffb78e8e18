// SPDX-License-Identifier: MIT
#include "core/http/message.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "core/base/text.h"

namespace relay {

struct Arena::Page {
  Page* before;
  size_t capacity;
  size_t used;
  char* data() { return reinterpret_cast<char*>(this + 1); }  // the bytes follow the header
};

Arena::Arena(Arena&& other) noexcept : last_(std::exchange(other.last_, nullptr)) {}

Arena& Arena::operator=(Arena&& other) noexcept {
  std::swap(last_, other.last_);
  return *this;
}

Arena::~Arena() {
  while (last_ != nullptr) std::free(std::exchange(last_, last_->before));
}

char* Arena::Allocate(size_t size) {
  if (last_ == nullptr || last_->capacity - last_->used < size) {
    constexpr size_t kFirst = 1000;
    constexpr size_t kMost = size_t{16} << 10;
    size_t capacity = last_ == nullptr ? kFirst : std::min(last_->capacity * 2, kMost);
    capacity = std::max(capacity, size);
    void* memory = std::malloc(sizeof(Page) + capacity);
    if (memory == nullptr) throw std::bad_alloc();
    last_ = new (memory) Page{last_, capacity, 0};
  }
  char* at = last_->data() + last_->used;
  last_->used += size;
  return at;
}

std::string_view Arena::Copy(std::string_view text) {
  if (text.empty()) return {};
  char* at = Allocate(text.size());
  std::memcpy(at, text.data(), text.size());
  return {at, text.size()};
}

std::string_view Head::path() const {
  return target.substr(0, target.find('?'));
}

std::string_view Head::query() const {
  size_t mark = target.find('?');
  return mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
}

const Field* Head::Find(std::string_view name) const {
  for (const Field& field : fields) {
    if (EqualsIgnoreCase(field.name, name)) return &field;
  }
  return nullptr;
}

std::string_view Head::Get(std::string_view name) const {
  const Field* field = Find(name);
  return field == nullptr ? std::string_view() : field->value;
}

void Head::Add(std::string_view name, std::string_view value) {
  fields.push_back({arena_.Copy(name), arena_.Copy(value)});
}

void Head::Set(std::string_view name, std::string_view value) {
  bool done = false;
  std::string_view kept = arena_.Copy(value);
  std::erase_if(fields, [&](Field& field) {
    if (!EqualsIgnoreCase(field.name, name)) return false;
    if (done) return true;
    field.value = kept;
    done = true;
    return false;
  });
  if (!done) fields.push_back({arena_.Copy(name), kept});
}

void Head::Remove(std::string_view name) {
  std::erase_if(fields, [&](const Field& field) { return EqualsIgnoreCase(field.name, name); });
}

Head Head::Clone() const {
  Head copy;
  copy.method = copy.Keep(method);
  copy.target = copy.Keep(target);
  copy.authority = copy.Keep(authority);
  copy.status = status;
  copy.version = version;
  copy.content_length = content_length;
  copy.expects_continue = expects_continue;
  copy.close = close;
  copy.fields.reserve(fields.size());
  for (const Field& field : fields) copy.Add(field.name, field.value);
  return copy;
}

bool SameLetters(std::string_view a, std::string_view b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && LowerOf(a[i]) != LowerOf(b[i])) return false;
  }
  return true;
}

std::optional<std::string_view> BearerOf(std::string_view authorization) {
  constexpr std::string_view kScheme = "Bearer ";
  if (!EqualsIgnoreCase(authorization.substr(0, kScheme.size()), kScheme)) return std::nullopt;
  authorization.remove_prefix(kScheme.size());
  authorization.remove_prefix(std::min(authorization.find_first_not_of(' '), authorization.size()));
  return authorization;
}

bool IsHopByHop(std::string_view name) {
  static constexpr NameSet kNames({"connection", "keep-alive", "proxy-connection", "te", "trailer",
                                   "transfer-encoding", "upgrade", "http2-settings"});
  return kNames.Has(name);
}

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 100: return "Continue";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "";
  }
}

}  // namespace relay
