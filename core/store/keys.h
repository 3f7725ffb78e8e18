// SPDX-License-Identifier: MIT
// The directory of relay keys: an immutable snapshot, looked up by the HMAC of what a client sent.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/store/limiter.h"

namespace relay {

struct KeyRecord {
  std::string name;                       // unique; also its stable id
  std::vector<std::string> services;      // "claude", "gemini"; empty: all
  std::vector<std::string> models_allow;  // globs; empty: all
  std::vector<std::string> models_deny;   // win over allow
  RateLimits limits;
  bool disabled = false;

  bool MayUse(std::string_view service) const;
  bool MayUseModel(std::string_view model) const;
};

// '*' stands for any run of characters.
bool GlobMatch(std::string_view glob, std::string_view text);

class KeyDirectory {
 public:
  using Digest = std::array<unsigned char, 32>;
  // Keys are held as HMAC-SHA-256 under `pepper`, never as they are.
  explicit KeyDirectory(std::string pepper) : pepper_(std::move(pepper)) {}
  void Add(std::string_view secret, KeyRecord record);
  // Null when unknown. The digest is compared whole and in constant time.
  std::shared_ptr<const KeyRecord> Find(std::string_view secret) const;
  // By name, for tests: in relay.yaml and `explain`.
  std::shared_ptr<const KeyRecord> FindByName(std::string_view name) const;
  size_t size() const { return records_.size(); }

 private:
  Digest DigestOf(std::string_view secret) const;
  struct Entry {
    Digest digest;
    std::shared_ptr<const KeyRecord> record;
  };
  std::string pepper_;
  std::vector<Entry> records_;
  std::unordered_multimap<uint64_t, size_t> index_;  // first digest bytes -> entry
};

}  // namespace relay
