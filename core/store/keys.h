// SPDX-License-Identifier: MIT
// The directory of relay keys: an immutable snapshot, looked up by the HMAC of what a client sent.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/base/clock.h"
#include "core/base/network.h"
#include "core/base/secret.h"
#include "core/store/key_uses.h"
#include "core/store/limiter.h"

namespace relay {

// '*' stands for any run of characters, none too; all else for itself, with its case.
bool GlobMatch(std::string_view glob, std::string_view text);

// What `clients` of relay.yaml calls so by name, as a glob of its User-Agent; else the text itself.
std::string ClientGlob(std::string_view client);

struct KeyRecord {
  std::string name;                            // unique; also its stable id
  std::vector<std::string> services = {};      // "claude", "gemini"; empty: all
  std::vector<std::string> models_allow = {};  // globs; empty: all
  std::vector<std::string> models_deny = {};   // win over allow
  RateLimits limits = {};
  // Limits of one service, beside those above.
  struct ServiceLimits {
    std::string service;
    RateLimits limits;
    std::shared_ptr<LimitScope> scope = {};  // set by the directory
  };
  std::vector<ServiceLimits> service_limits = {};
  bool disabled = false;
  bool decisions = false;                                       // answers tell how they came about
  WallTime expires = WallTime::max();                           // from then on it is refused
  Duration expires_after_first_use{};                           // zero: never
  std::vector<Network> allowed_addresses = {};                  // empty: from everywhere
  std::vector<std::string> clients = {};                        // globs of User-Agent; empty: all
  std::vector<std::pair<std::string, std::string>> bound = {};  // cluster -> the account it uses
  std::vector<std::string> tags = {};
  std::shared_ptr<LimitScope> scope = {};    // what it used of its limits; set by the directory
  std::shared_ptr<FirstUse> first_use = {};  // set by the directory where it expires after it

  bool MayUse(std::string_view service) const;
  // "" or nothing but such a client.
  bool MayBeUsedBy(std::string_view user_agent) const;
  bool MayBeUsedFrom(const std::optional<IpAddress>& client) const;
  // Counts as a use of it.
  bool ExpiredAt(WallTime now) const;
  // The same, but is no use.
  bool LooksExpiredAt(WallTime now) const;
  // The account of that cluster that alone serves it; "": all do.
  std::string_view BoundIn(std::string_view cluster) const;
  const ServiceLimits* LimitsOn(std::string_view service) const;
  bool MayUseModel(std::string_view model) const;
  bool limits_models() const { return !models_allow.empty() || !models_deny.empty(); }
};

// Filled, then shared and never changed again.
class KeyDirectory {
 public:
  // Keys are held as HMAC-SHA-256 under `pepper`, never as they are. `limiter` keeps each key's
  // count by its name, so that a new directory goes on where the old one was.
  // `uses` knows when each was used first. Both outlive the directory.
  KeyDirectory(const Secret& pepper, Limiter& limiter, KeyUses& uses)
      : pepper_(pepper.Reveal()), limiter_(limiter), uses_(uses) {}
  // False when that secret is there already.
  bool Add(std::string_view secret, KeyRecord record);
  // The same of a secret that is known by what it is held as; unknown from `until` on.
  bool Add(const Digest256& digest, KeyRecord record, std::optional<WallTime> until = {});
  // Null when unknown. Exact bytes; the digest is compared whole and in constant time.
  std::shared_ptr<const KeyRecord> Find(std::string_view secret) const;
  // For tests in relay.yaml and for `explain`.
  std::shared_ptr<const KeyRecord> FindByName(std::string_view name) const;
  // Each record, also of keys that are replaced and valid a little longer: those twice.
  void ForEach(const std::function<void(const KeyRecord&)>& visit) const {
    for (const Entry& entry : entries_) visit(*entry.record);
  }
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Digest256 digest;
    std::shared_ptr<const KeyRecord> record;
    std::optional<WallTime> until;
  };
  const Entry* Look(const Digest256& digest) const;

  const HmacKey pepper_;
  Limiter& limiter_;
  KeyUses& uses_;
  std::vector<Entry> entries_;
  std::unordered_multimap<uint64_t, size_t> index_;  // the digest's first bytes -> entry
};

}  // namespace relay
