// SPDX-License-Identifier: MIT
// An upstream credential and where it is used. Immutable; its health lives in the pool.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/secret.h"
#include "core/config/proxy_url.h"
#include "core/config/root.h"
#include "core/config/units.h"
#include "core/net/dialer.h"

namespace relay {

class Tokens;
class TokenSource;

// As the Host field names it: the port only where it is not the scheme's own.
std::string AuthorityOf(const Url& endpoint);

// How an account's connections leave: its requests, and what the relay itself asks for its sake.
struct WayOut {
  ProxyUrl proxy;
  // Whether what is connected to, and the proxy, may lie in the open internet only. The first is
  // asked for https too.
  bool public_only = false;
  bool public_proxy_only = false;

  bool operator==(const WayOut&) const = default;
};

// An address of the vendor as one account uses it.
struct AccountEndpoint {
  Url url;
  WayOut way;

  bool operator==(const AccountEndpoint&) const = default;
};

struct Account {
  // A key of the vendor's API, or a subscription's OAuth bearer, which serves only the vendor's
  // own client.
  enum class Kind : uint8_t { kApiKey, kSubscription };

  std::string cluster;
  std::string name;  // cluster/name is the stable id that state hangs on
  Kind kind = Kind::kApiKey;
  Secret credential;                    // empty where `tokens` gives it
  std::shared_ptr<TokenSource> tokens;  // of a login: null where the credential stays what it is
  bool paused = false;                  // by a person: gets no request
  // Connections hang on the address of these two, so no account ever uses another's.
  AccountEndpoint endpoint;              // of the vendor's public API
  AccountEndpoint code_assist_endpoint;  // gemini: of Code Assist
  WayOut oauth_way;                      // to the addresses of its cluster's OauthClient
  std::string project;                   // Code Assist: what `project` in a body becomes
  int priority = 50;                     // lower first
  int concurrency = 0;                   // 0: no bound
  int weight = 0;                        // its share of the load; 0: not given
  std::vector<std::string> tags;         // groups that it is in
  PauseAt pause_at;
  std::vector<std::string> models;  // globs; empty: all

  bool operator==(const Account&) const = default;
};

// Whom a vendor, and a proxy, sees in an account: tells whether that is another now, and keeps
// neither secrets nor tokens alive.
class AccessMark {
 public:
  explicit AccessMark(const Account& account);
  // The same credential, or source of tokens.
  bool SameLogin(const AccessMark& other) const;
  // The same endpoints, by the same way.
  bool SameWay(const AccessMark& other) const { return way_ == other.way_; }

 private:
  Digest256 credential_{};  // by a key of this process
  Digest256 way_{};
  std::weak_ptr<TokenSource> tokens_;
};

// What is dialled. `tls` is for the endpoint and for the proxy. Errors (kUpstream): not https where
// it must be.
Result<Endpoint> DialledEndpoint(const AccountEndpoint& endpoint,
                                 const std::shared_ptr<const TlsClientContext>& tls);

// `tokens` gives one that logged in its source; it may be null where nothing is served.
Account AccountOf(const ClusterConfig& cluster, const AccountConfig& from, Tokens* tokens);
std::vector<Account> AccountsOf(const ClusterConfig& cluster, Tokens* tokens);

// Of one cluster, by names that are unique.
using Accounts = std::vector<std::shared_ptr<const Account>>;
// One that equals an account of `before` is that very object, so that its connections stay its own.
Accounts ShareAccounts(std::vector<Account> accounts, const Accounts& before = {});

}  // namespace relay
