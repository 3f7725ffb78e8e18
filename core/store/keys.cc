// SPDX-License-Identifier: MIT
#include "core/store/keys.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace relay {
namespace {

// An attacker cannot steer it without the pepper.
uint64_t Shorten(const Digest256& digest) {
  uint64_t head = 0;
  std::memcpy(&head, digest.data(), sizeof head);
  return head;
}

bool AnyMatches(const std::vector<std::string>& globs, std::string_view text) {
  return std::any_of(globs.begin(), globs.end(),
                     [&](const std::string& glob) { return GlobMatch(glob, text); });
}

}  // namespace

bool GlobMatch(std::string_view glob, std::string_view text) {
  size_t at = 0;
  size_t star = std::string_view::npos;  // the last '*' passed, and where its run began
  size_t run = 0;
  size_t i = 0;
  while (i < text.size()) {
    if (at < glob.size() && glob[at] == '*') {
      star = at++;
      run = i;
    } else if (at < glob.size() && glob[at] == text[i]) {
      ++at;
      ++i;
    } else if (star != std::string_view::npos) {
      at = star + 1;
      i = ++run;
    } else {
      return false;
    }
  }
  return glob.find_first_not_of('*', at) == std::string_view::npos;
}

// The vendors' own clients, by how their User-Agents begin (design: a policy, not a proof).
std::string ClientGlob(std::string_view client) {
  if (client == "claude-code") return "claude-cli/*";
  if (client == "gemini-cli") return "GeminiCLI*";
  return std::string(client);
}

bool KeyRecord::MayBeUsedBy(std::string_view user_agent) const {
  return clients.empty() || AnyMatches(clients, user_agent);
}

bool KeyRecord::MayBeUsedFrom(const std::optional<IpAddress>& client) const {
  return allowed_addresses.empty() || (client && AnyContains(allowed_addresses, *client));
}

bool KeyRecord::ExpiredAt(WallTime now) const {
  if (now >= expires) return true;
  return first_use != nullptr && now - first_use->Note(now) >= expires_after_first_use;
}

bool KeyRecord::LooksExpiredAt(WallTime now) const {
  if (now >= expires) return true;
  return first_use != nullptr && now - first_use->Look(now) >= expires_after_first_use;
}

std::string_view KeyRecord::BoundIn(std::string_view cluster) const {
  for (const auto& [to, account] : bound) {
    if (to == cluster) return account;
  }
  return {};
}

const KeyRecord::ServiceLimits* KeyRecord::LimitsOn(std::string_view service) const {
  for (const ServiceLimits& one : service_limits) {
    if (one.service == service) return &one;
  }
  return nullptr;
}

bool KeyRecord::MayUse(std::string_view service) const {
  return services.empty() || std::find(services.begin(), services.end(), service) != services.end();
}

bool KeyRecord::MayUseModel(std::string_view model) const {
  if (AnyMatches(models_deny, model)) return false;
  return models_allow.empty() || AnyMatches(models_allow, model);
}

bool KeyDirectory::Add(std::string_view secret, KeyRecord record) {
  return Add(pepper_.Sign(secret), std::move(record));
}

bool KeyDirectory::Add(const Digest256& digest, KeyRecord record, std::optional<WallTime> until) {
  if (Look(digest) != nullptr) return false;
  record.scope = limiter_.Scope(Limiter::NameOfKey(record.name));
  for (KeyRecord::ServiceLimits& one : record.service_limits) {
    one.scope = limiter_.Scope(Limiter::NameOfService(one.service, record.name));
  }
  if (record.expires_after_first_use > Duration::zero()) {
    record.first_use = uses_.Of(record.name);
  }
  index_.emplace(Shorten(digest), entries_.size());
  entries_.push_back({digest, std::make_shared<const KeyRecord>(std::move(record)), until});
  return true;
}

const KeyDirectory::Entry* KeyDirectory::Look(const Digest256& digest) const {
  auto [from, to] = index_.equal_range(Shorten(digest));
  for (; from != to; ++from) {
    const Entry& entry = entries_[from->second];
    if (SecretEquals(BytesOf(entry.digest), BytesOf(digest))) return &entry;
  }
  return nullptr;
}

std::shared_ptr<const KeyRecord> KeyDirectory::Find(std::string_view secret) const {
  const Entry* entry = Look(pepper_.Sign(secret));
  if (entry == nullptr) return nullptr;
  bool over = entry->until && limiter_.clock().Wall() >= *entry->until;
  return over ? nullptr : entry->record;
}

std::shared_ptr<const KeyRecord> KeyDirectory::FindByName(std::string_view name) const {
  for (const Entry& entry : entries_) {
    if (entry.record->name == name) return entry.record;
  }
  return nullptr;
}

}  // namespace relay
