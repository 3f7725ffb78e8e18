// SPDX-License-Identifier: MIT
// Heads of requests and answers, independent of the protocol's version. Names and values are views
// into the head's own arena: moving a head moves the arena, so the views stay good.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace relay {

// Bump allocator for short texts. Freed as a whole.
class Arena {
 public:
  Arena() = default;
  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&& other) noexcept;
  ~Arena();
  // A copy that lives as long as the arena.
  std::string_view Copy(std::string_view text);
  // Room for `size` chars that the caller fills.
  char* Allocate(size_t size);

 private:
  struct Page;
  Page* last_ = nullptr;
};

struct Field {
  std::string_view name;  // as received; compared without case (RFC 9110 §5.1)
  std::string_view value;
};

enum class Version : uint8_t { kHttp10, kHttp11, kHttp2 };

// One head. Fields stand in the order of the wire; Connection, Transfer-Encoding and the like are
// the codec's business: a server codec leaves them in the list as received (the exchange drops
// hop-by-hop fields), a sending codec never writes any of them from the list but makes its own.
class Head {
 public:
  Head() = default;
  Head(Head&&) noexcept = default;
  Head& operator=(Head&&) noexcept = default;

  // Requests. Views into the arena; set them through Keep().
  std::string_view method;
  std::string_view target;     // path and query, begins with '/'
  std::string_view authority;  // Host or :authority, as received
  // Answers.
  int status = 0;

  Version version = Version::kHttp11;
  // The message's body length where announced or known. For a message to be sent: set means
  // Content-Length; not set and a body follows means chunked (HTTP/1.1) or plain DATA (HTTP/2).
  std::optional<uint64_t> content_length;
  // Requests: Expect: 100-continue was asked for.
  bool expects_continue = false;
  // HTTP/1: this message says that the connection ends after it.
  bool close = false;

  std::vector<Field> fields;

  std::string_view path() const;   // target up to '?'
  std::string_view query() const;  // after '?', or ""

  // The first field of that name.
  const Field* Find(std::string_view name) const;
  std::string_view Get(std::string_view name) const;  // its value or ""
  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  // Appends, copying both.
  void Add(std::string_view name, std::string_view value);
  // Appends a field of another head, which must live as long as this one: copies nothing.
  void Borrow(const Field& field) { fields.push_back(field); }
  // Replaces the first, drops the others of that name; appends when there is none.
  void Set(std::string_view name, std::string_view value);
  void Remove(std::string_view name);
  // Copies a text into the arena, for method, target, authority.
  std::string_view Keep(std::string_view text) { return arena_.Copy(text); }
  Arena& arena() { return arena_; }
  Head Clone() const;

 private:
  Arena arena_;
};

// Whether the letters are the same but for their case, of texts of one size.
bool SameLetters(std::string_view a, std::string_view b);
// ASCII, without case. Most pairs that are compared differ in size, which is seen without a call.
inline bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && SameLetters(a, b);
}
// Names of fields, all lower case and shorter than 64, that are looked for again and again.
template <size_t kCount>
class NameSet {
 public:
  // `names`: literals.
  consteval explicit NameSet(const std::string_view (&names)[kCount]) {
    for (size_t i = 0; i < kCount; ++i) {
      names_[i] = names[i];
      sizes_ |= uint64_t{1} << names[i].size();
    }
  }
  // Most names are told apart by their size alone.
  bool Has(std::string_view name) const {
    if (name.size() >= 64 || (sizes_ >> name.size() & 1) == 0) return false;
    for (std::string_view known : names_) {
      if (EqualsIgnoreCase(known, name)) return true;
    }
    return false;
  }

 private:
  std::string_view names_[kCount];
  uint64_t sizes_ = 0;
};
// What follows "Bearer" in an Authorization field (RFC 6750 §2.1; the scheme's case is free, RFC
// 9110 §11.1); nothing for other schemes.
std::optional<std::string_view> BearerOf(std::string_view authorization);
// True for fields that end at this hop (RFC 9110 §7.6.1): Connection and its fellows, not what
// Connection names.
bool IsHopByHop(std::string_view name);
// Calls f(token) for each non-empty member of a comma list, spaces trimmed.
template <class F>
void ForEachToken(std::string_view list, F f) {
  while (!list.empty()) {
    size_t comma = list.find(',');
    std::string_view token = list.substr(0, comma);
    while (!token.empty() && (token.front() == ' ' || token.front() == '\t'))
      token.remove_prefix(1);
    while (!token.empty() && (token.back() == ' ' || token.back() == '\t')) token.remove_suffix(1);
    if (!token.empty()) f(token);
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}
// The standard phrase, or "".
std::string_view ReasonPhrase(int status);

}  // namespace relay
