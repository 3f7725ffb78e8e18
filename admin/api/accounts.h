// SPDX-License-Identifier: MIT
// /admin/v1/accounts: what accounts there are and how they fare, those that people add, pauses, and
// tests; and /admin/v1/logins, by which a subscription is added. No answer holds a credential.
#pragma once

#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "admin/account_book.h"
#include "admin/api/router.h"
#include "admin/services.h"
#include "upstreams/oauth.h"
#include "upstreams/token_keeper.h"
#include "upstreams/vendor_call.h"

namespace relay {

// What the handlers use; all of it outlives the router's use.
struct AccountsRoom {
  Services& services;
  AccountBook& book;
  TokenKeeper& keeper;
  VendorCalls& calls;

  // Logins that wait for what a person brings from the browser, by their ids.
  struct Login {
    std::string cluster;
    std::string name;
    std::string project;
    std::string terms;  // what is said of the account besides: a patch of them, or ""
    LoginKind kind = LoginKind::kLogin;
    LoginSecrets secrets;
    TimePoint until{};
  };
  std::map<std::string, Login> logins = {};
};

// The status of a login that could begin, but for a yes to the vendor's terms.
inline constexpr int kTermsWanted = 428;

void AddAccountsApi(ApiRouter& router, AccountsRoom& room);
// Part of the above, in a file of its own.
void AddLoginsApi(ApiRouter& router, AccountsRoom& room);

// An account of the snapshot with its cluster; null: there is none.
struct FoundAccount {
  std::shared_ptr<const Account> account;
  std::shared_ptr<const ClusterShared> cluster;
};
FoundAccount FindAccount(const Snapshot& snapshot, std::string_view cluster, std::string_view name);
std::shared_ptr<const ClusterShared> FindCluster(const Snapshot& snapshot,
                                                 std::string_view cluster);
// What a body says of an account's terms: all of it but `others`; "" where that is nothing.
std::string TermsIn(const JsonIndex& body, std::initializer_list<std::string_view> others);
// That put over `before`. Errors (kClient): all that is wrong, for people.
Result<AccountTerms> ChangedTerms(const AccountTerms& before, const std::string& patch,
                                  const ClusterConfig& cluster);
// The account of that name in relay.yaml; null: there is none.
const AccountConfig* FileAccount(const Snapshot& snapshot, std::string_view cluster,
                                 std::string_view name);

}  // namespace relay
