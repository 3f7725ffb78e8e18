// SPDX-License-Identifier: MIT
#include "upstreams/account.h"

#include <algorithm>
#include <utility>

#include "core/config/root.h"
#include "upstreams/tokens.h"

namespace relay {

std::string AuthorityOf(const Url& endpoint) {
  bool literal6 = endpoint.host.find(':') != std::string::npos;
  std::string text = literal6 ? "[" + endpoint.host + "]" : endpoint.host;
  if (endpoint.port != (endpoint.tls ? 443 : 80)) text += ":" + std::to_string(endpoint.port);
  return text;
}

namespace {

AccountEndpoint EndpointOf(const ClusterConfig& cluster, const AccountConfig& account,
                           const Url& of_cluster) {
  bool closed = account.from_store && !cluster.allow_private;
  AccountEndpoint endpoint;
  endpoint.url = account.endpoint.value_or(of_cluster);
  endpoint.proxy = account.proxy.value_or(cluster.proxy);
  // What relay.yaml itself says is trusted.
  endpoint.public_only = closed && account.endpoint.has_value();
  endpoint.public_proxy_only = closed && account.proxy.has_value();
  return endpoint;
}

}  // namespace

Endpoint DialledEndpoint(const AccountEndpoint& endpoint,
                         const std::shared_ptr<const TlsClientContext>& tls) {
  Endpoint dialled;
  dialled.host = endpoint.url.host;
  dialled.port = endpoint.url.port;
  if (endpoint.url.tls) dialled.tls = tls;
  dialled.public_only = endpoint.public_only;
  if (endpoint.proxy.direct()) return dialled;
  Proxy& proxy = dialled.proxy.emplace();
  bool socks = endpoint.proxy.kind == ProxyUrl::Kind::kSocks5;
  proxy.kind = socks ? Proxy::Kind::kSocks5 : Proxy::Kind::kHttp;
  proxy.host = endpoint.proxy.host;
  proxy.port = endpoint.proxy.port;
  if (endpoint.proxy.kind == ProxyUrl::Kind::kHttps) proxy.tls = tls;
  proxy.user = endpoint.proxy.user;
  proxy.password = endpoint.proxy.password;
  proxy.public_only = endpoint.public_proxy_only;
  return dialled;
}

Account AccountOf(const ClusterConfig& cluster, const AccountConfig& from, Tokens* tokens) {
  Account account;
  account.cluster = cluster.name;
  account.name = from.name;
  bool subscription = from.api_key.empty();
  account.kind = subscription ? Account::Kind::kSubscription : Account::Kind::kApiKey;
  account.credential = subscription ? from.oauth_token : from.api_key;
  account.endpoint = EndpointOf(cluster, from, cluster.endpoint);
  account.code_assist_endpoint = EndpointOf(cluster, from, cluster.code_assist_endpoint);
  bool refreshed = from.login || !from.refresh_token.empty();
  if (refreshed && tokens != nullptr) {
    account.tokens = tokens->Source(
        {cluster.name + "/" + from.name, OauthClientOf(cluster), from.refresh_token});
  }
  account.project = from.project;
  account.priority = from.priority;
  account.concurrency = from.concurrency;
  account.models = from.models;
  return account;
}

std::vector<Account> AccountsOf(const ClusterConfig& cluster, Tokens* tokens) {
  std::vector<Account> accounts;
  for (const AccountConfig& from : cluster.accounts) {
    accounts.push_back(AccountOf(cluster, from, tokens));
  }
  return accounts;
}

Accounts ShareAccounts(std::vector<Account> accounts, const Accounts& before) {
  Accounts shared;
  for (Account& account : accounts) {
    auto same = std::find_if(before.begin(), before.end(),
                             [&](const auto& other) { return *other == account; });
    shared.push_back(same != before.end() ? *same
                                          : std::make_shared<const Account>(std::move(account)));
  }
  return shared;
}

}  // namespace relay
