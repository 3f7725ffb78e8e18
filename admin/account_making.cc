// SPDX-License-Identifier: MIT
#include "admin/account_making.h"

#include <cstdio>
#include <optional>
#include <string_view>
#include <utility>

#include "admin/api/accounts.h"
#include "admin/fetch.h"
#include "admin/field_options.h"
#include "admin/terminal.h"
#include "core/base/secret.h"
#include "core/config/root.h"

namespace relay {
namespace {

// A login waits for the vendor.
constexpr Duration kVendorPatience = std::chrono::minutes(4);

constexpr std::string_view kTerms =
    "A subscription is for the person who pays for it. Its vendor's terms restrict who may use it "
    "and with\nwhat: to share it with others, or to use it with programs other than the vendor's "
    "own, "
    "may end the\naccount. The relay gives it to nobody but the vendor's own client, by what that "
    "says it is, and logs\nin by the public OAuth client of the vendor's command line. For "
    "anything "
    "else use an API key.\n";

// Names of a new account: its cluster by --cluster or before the slash.
struct NewAccount {
  std::string cluster;
  std::string name;
};
std::expected<NewAccount, std::string> NewAccountOf(const Options& options) {
  NewAccount account{options.cluster, options.names.front()};
  size_t slash = account.name.find('/');
  if (slash != std::string::npos) {
    std::string cluster = account.name.substr(0, slash);
    if (!account.cluster.empty() && account.cluster != cluster) {
      return std::unexpected("--cluster says another cluster than the name");
    }
    account.cluster = cluster;
    account.name.erase(0, slash + 1);
  }
  if (account.cluster.empty()) {
    return std::unexpected("name the cluster: --cluster claude, or claude/" + account.name);
  }
  return account;
}

bool AcceptsTerms() {
  std::fprintf(stderr, "%.*s\nType yes to go on: ", static_cast<int>(kTerms.size()), kTerms.data());
  std::optional<std::string> word = ReadLine(false);
  if (!word) std::fputc('\n', stderr);
  return word == "yes";
}

void TellLogin(const JsonIndex& json) {
  std::string who = TextIn(json, "who");
  std::string plan = TextIn(json, "plan");
  std::printf("%s is logged in", TextIn(json, "account").c_str());
  if (!who.empty()) std::printf(" as %s", who.c_str());
  if (!plan.empty()) std::printf(" (%s)", plan.c_str());
  std::printf("\n");
  if (std::string note = TextIn(json, "note"); !note.empty()) {
    std::printf("who that is: %s\n", note.c_str());
  }
  if (std::string project = TextIn(json, "project"); !project.empty()) {
    std::printf("project: %s\n", project.c_str());
  }
  JsonArray windows(json.Find("windows"));
  while (JsonValue item = windows.Next()) {
    Result<JsonIndex> window = JsonIndex::Object(item);
    if (!window) continue;
    std::string used(window->Find("used_percent").Number().value_or("0"));
    std::printf("%s: %s %% used, until %s\n", TextIn(*window, "name").c_str(), used.c_str(),
                TextIn(*window, "resets_at").c_str());
  }
}

// What is no code of this login is asked for again: the page is still good.
int EndLogin(const RunningRelay& relay, const std::string& target) {
  for (bool again = false;;) {
    if (AtTerminal()) std::fprintf(stderr, "Code: ");
    std::optional<std::string> pasted = ReadLine(true);
    if (!pasted) return again ? kExitFailed : Complain("no code came on standard input");
    if (pasted->empty()) continue;
    FetchRequest request{.method = "POST", .target = target};
    request.body = JsonText().BeginObject().Field("pasted", *pasted).EndObject().Take();
    WipeString(*pasted);
    Result<Fetched> fetched = relay.Fetch(request, kVendorPatience);
    again = fetched && fetched->status == 400;
    auto body = relay.Answer(std::move(fetched));
    if (!body && again) continue;
    if (!body) return body.error();
    Result<JsonIndex> told = JsonIndex::Parse(*body);
    if (!told) return NotUnderstood(told.error());
    TellLogin(*told);
    return kExitOk;
  }
}

}  // namespace

std::expected<void, std::string> AddTerms(const Options& options, const Environment& environment,
                                          JsonText& json) {
  FieldOptions fields = options.fields;
  for (const auto& [name, text] : fields) {
    Parsed<ProxyUrl> proxy = name == "proxy" ? ParseProxyUrl(text) : Parsed<ProxyUrl>();
    if (proxy && !proxy->user.empty()) {
      return std::unexpected(
          "other users of this machine see what stands on a command line: give a proxy with its "
          "user by --proxy-env VARIABLE");
    }
  }
  if (!options.proxy_env.empty()) {
    std::optional<std::string> proxy = environment(options.proxy_env);
    if (!proxy || proxy->empty()) return std::unexpected(options.proxy_env + " is not set");
    fields.emplace_back("proxy", *proxy);
  }
  return WriteFieldOptions(DescribeStruct<AccountTerms>(), fields, json);
}

int AddAccount(const RunningRelay& relay, const Options& options, const Environment& environment) {
  auto account = NewAccountOf(options);
  if (!account) return Complain(account.error());
  std::optional<std::string> key;
  if (!options.key_env.empty()) {
    key = environment(options.key_env);
    if (!key || key->empty()) return Complain(options.key_env + " is not set");
  } else {
    if (AtTerminal()) std::fprintf(stderr, "API key: ");
    key = ReadLine(true);
  }
  if (!key || key->empty()) return Complain("no key came on standard input");
  JsonText json;
  json.BeginObject().Field("cluster", account->cluster).Field("name", account->name);
  json.Field("api_key", *key);
  WipeString(*key);
  auto added = AddTerms(options, environment, json);
  if (!added) return Complain(added.error());
  auto body = relay.Ask("POST", "/admin/v1/accounts", json.EndObject().Take());
  if (!body) return body.error();
  std::printf("%s/%s is added; try it: relay accounts test %s/%s\n", account->cluster.c_str(),
              account->name.c_str(), account->cluster.c_str(), account->name.c_str());
  return kExitOk;
}

int LogIn(const RunningRelay& relay, const Options& options, const Environment& environment) {
  auto account = NewAccountOf(options);
  if (!account) return Complain(account.error());
  JsonText json;
  json.BeginObject().Field("cluster", account->cluster).Field("name", account->name);
  json.Field("setup_token", options.setup_token);
  if (!options.project.empty()) json.Field("project", options.project);
  auto added = AddTerms(options, environment, json);
  if (!added) return Complain(added.error());
  FetchRequest request{.method = "POST", .target = "/admin/v1/logins"};
  if (options.accept_terms) json.Field("accept_terms", true);
  request.body = json.text() + "}";
  Result<Fetched> fetched = relay.Fetch(request);
  // All else is well, so that nobody says yes in vain.
  if (fetched && fetched->status == kTermsWanted) {
    if (!AcceptsTerms()) return Complain("nothing was done");
    request.body = json.Field("accept_terms", true).EndObject().Take();
    fetched = relay.Fetch(request);
  }
  auto begun = relay.Answer(std::move(fetched));
  if (!begun) return begun.error();
  Result<JsonIndex> login = JsonIndex::Parse(*begun);
  if (!login) return NotUnderstood(login.error());
  std::printf(
      "Open this address in a browser, agree, and paste what the last page shows, or its "
      "address:\n\n%s\n\n",
      TextIn(*login, "url").c_str());
  std::fflush(stdout);
  return EndLogin(relay, "/admin/v1/logins/" + TextIn(*login, "id"));
}

}  // namespace relay
