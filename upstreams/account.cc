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

Account AccountOf(const ClusterConfig& cluster, const AccountConfig& from, Tokens* tokens) {
  Account account;
  account.cluster = cluster.name;
  account.name = from.name;
  bool subscription = from.api_key.empty();
  account.kind = subscription ? Account::Kind::kSubscription : Account::Kind::kApiKey;
  account.credential = subscription ? from.oauth_token : from.api_key;
  account.endpoint = from.endpoint.value_or(cluster.endpoint);
  account.code_assist_endpoint = from.endpoint.value_or(cluster.code_assist_endpoint);
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
