// SPDX-License-Identifier: MIT
#include "upstreams/account.h"

#include <algorithm>
#include <utility>

#include "upstreams/tokens.h"

namespace relay {

std::string AuthorityOf(const Url& endpoint) {
  bool literal6 = endpoint.host.find(':') != std::string::npos;
  std::string text = literal6 ? "[" + endpoint.host + "]" : endpoint.host;
  if (endpoint.port != (endpoint.tls ? 443 : 80)) text += ":" + std::to_string(endpoint.port);
  return text;
}

namespace {

// What relay.yaml itself says is trusted.
bool IsGuarded(const ClusterConfig& cluster, const AccountConfig& account) {
  return account.from_store && !cluster.allow_private;
}

// To what the cluster or the vendor names.
WayOut WayOf(const ClusterConfig& cluster, const AccountConfig& account) {
  WayOut way;
  way.proxy = account.proxy.value_or(cluster.proxy);
  way.public_proxy_only = IsGuarded(cluster, account) && account.proxy.has_value();
  return way;
}

AccountEndpoint EndpointOf(const ClusterConfig& cluster, const AccountConfig& account,
                           const Url& of_cluster) {
  AccountEndpoint endpoint{account.endpoint.value_or(of_cluster), WayOf(cluster, account)};
  endpoint.way.public_only = IsGuarded(cluster, account) && account.endpoint.has_value();
  return endpoint;
}

// All parts of what an account's way is, each as long as it says.
class WayText {
 public:
  ~WayText() { WipeString(text_); }
  void Add(std::string_view part) {
    text_.append(std::to_string(part.size())).append(1, ':').append(part);
  }
  // By their members, so that a new one is not forgotten here.
  void Add(const WayOut& way) {
    const auto& [proxy, public_only, public_proxy_only] = way;
    const auto& [kind, host, port, user, password] = proxy;
    Add(std::to_string(static_cast<int>(kind)));
    Add(host);
    Add(std::to_string(port));
    Add(user.Reveal());
    Add(password.Reveal());
    Add(public_only ? "1" : "0");
    Add(public_proxy_only ? "1" : "0");
  }
  void Add(const AccountEndpoint& endpoint) {
    const auto& [url, way] = endpoint;
    const auto& [tls, host, port, path] = url;
    Add(tls ? "1" : "0");
    Add(host);
    Add(std::to_string(port));
    Add(path);
    Add(way);
  }
  std::string_view view() const { return text_; }

 private:
  std::string text_;
};

}  // namespace

AccessMark::AccessMark(const Account& account) : tokens_(account.tokens) {
  static const HmacKey kKey(RandomBytes(sizeof(Digest256)));
  WayText way;
  way.Add(account.endpoint);
  way.Add(account.code_assist_endpoint);
  way.Add(account.oauth_way);
  way_ = kKey.Sign(way.view());
  credential_ = kKey.Sign(account.credential.Reveal());
}

bool AccessMark::SameLogin(const AccessMark& other) const {
  bool same_tokens = !tokens_.owner_before(other.tokens_) && !other.tokens_.owner_before(tokens_);
  return same_tokens && credential_ == other.credential_;
}

Result<Endpoint> DialledEndpoint(const AccountEndpoint& endpoint,
                                 const std::shared_ptr<const TlsClientContext>& tls) {
  const auto& [url, way] = endpoint;
  if (way.public_only && !url.tls) {
    return Fail(
        Party::kUpstream, Fault::kConnect,
        FormatUrl(url) + " is not https, as it must be for an account that is not of relay.yaml",
        true);
  }
  Endpoint dialled;
  dialled.host = url.host;
  dialled.port = url.port;
  if (url.tls) dialled.tls = tls;
  if (dialled.tls != nullptr) dialled.alpn = {"h2", "http/1.1"};
  dialled.public_only = way.public_only;
  if (way.proxy.direct()) return dialled;
  Proxy& proxy = dialled.proxy.emplace();
  bool socks = way.proxy.kind == ProxyUrl::Kind::kSocks5;
  proxy.kind = socks ? Proxy::Kind::kSocks5 : Proxy::Kind::kHttp;
  proxy.host = way.proxy.host;
  proxy.port = way.proxy.port;
  if (way.proxy.kind == ProxyUrl::Kind::kHttps) proxy.tls = tls;
  proxy.user = way.proxy.user;
  proxy.password = way.proxy.password;
  proxy.public_only = way.public_proxy_only;
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
  account.oauth_way = WayOf(cluster, from);
  bool refreshed = from.login || !from.refresh_token.empty();
  if (refreshed && tokens != nullptr) {
    account.tokens =
        tokens->Source({cluster.name + "/" + from.name, OauthClientOf(cluster), from.refresh_token},
                       account.oauth_way);
  }
  account.project = from.project;
  account.priority = from.priority;
  account.concurrency = from.concurrency;
  account.weight = from.weight;
  account.tags = from.tags;
  account.pause_at = from.pause_at.value_or(cluster.pause_at);
  account.models = from.models;
  return account;
}

std::vector<Account> AccountsOf(const ClusterConfig& cluster, Tokens* tokens) {
  std::vector<Account> accounts;
  accounts.reserve(cluster.accounts.size());
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
