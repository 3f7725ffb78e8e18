// SPDX-License-Identifier: MIT
// Relay keys, /admin/v1/keys: made, listed, changed, disabled, rotated, deleted and restored. Keys
// that relay.yaml declares can be disabled here, and nothing else.
// The paths stand in README.md of the folder above. Each change is made upon what the key is at
// that moment, so that none undoes another.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "admin/api/router.h"
#include "admin/objects.h"
#include "admin/services.h"
#include "admin/stored_key.h"

namespace relay {

class KeysApi {
 public:
  // All outlive the router's use.
  KeysApi(ApiRouter& router, Objects& objects, Services& services);
  KeysApi(const KeysApi&) = delete;
  KeysApi& operator=(const KeysApi&) = delete;

 private:
  using Change = std::function<ApiResult<Unit>(StoredKey& key)>;

  Task<Reply> List(ApiRequest& request);
  Task<Reply> Show(ApiRequest& request);
  Task<Reply> Make(ApiRequest& request);
  Task<Reply> Patch(ApiRequest& request);
  Task<Reply> Disable(ApiRequest& request, bool disabled);
  Task<Reply> Rotate(ApiRequest& request);
  Task<Reply> Delete(ApiRequest& request);
  Task<Reply> Restore(ApiRequest& request);

  Task<Reply> Add(StoredKey key, std::string secret);
  Task<Reply> Purge(std::string name);
  // Of a key of the store: changes it and shows what it is then; with `secret`, if there is one.
  Task<Reply> ChangeKey(std::string name, Change change, std::string secret);
  Task<Reply> Overlay(std::string name, bool disabled);
  // Why a key of that name cannot be changed here; nothing where it can.
  std::optional<ApiFault> Refuse(const std::string& name) const;
  // What relay.yaml is checked for as well: whether there are the accounts that it is bound to.
  std::optional<ApiFault> CheckBound(const KeyTerms& terms) const;
  std::unexpected<ApiFault> NoSuchKey(const std::string& name) const;
  KeyToken TokenOf(std::string_view secret) const;
  std::string NewSecret() const;
  // Appends the key as JSON; false where there is none.
  bool Describe(const std::string& name, std::string_view secret, JsonText& json) const;
  void DescribeStored(const StoredKey& key, std::string_view secret, JsonText& json) const;
  void DescribeUse(const std::string& name, JsonText& json) const;
  Reply ShowKey(const std::string& name, std::string_view secret, int status) const;

  Objects& objects_;
  Services& services_;
};

}  // namespace relay
