// SPDX-License-Identifier: MIT
#include "admin/account_commands.h"

#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <optional>
#include <ranges>
#include <string>
#include <vector>

#include "admin/ask.h"
#include "admin/fetch.h"
#include "admin/table.h"
#include "core/base/json.h"
#include "core/base/secret.h"
#include "core/config/texts.h"

namespace relay {
namespace {

constexpr Duration kPatience = std::chrono::seconds(10);
// A login and a test wait for the vendor.
constexpr Duration kVendorPatience = std::chrono::minutes(4);

constexpr std::string_view kTerms =
    "A subscription is for the person who pays for it. Its vendor's terms restrict who may use it "
    "and with\nwhat: to share it with others, or to use it with programs other than the vendor's "
    "own, "
    "may end the\naccount. The relay gives it to nobody but the vendor's own client, by what that "
    "says it is, and logs\nin by the public OAuth client of the vendor's command line. For "
    "anything "
    "else use an API key.\n";

int NotUnderstood() {
  return Complain("the relay's answer is not understood");
}

// One line without its end; nothing at the end of the input. `hidden`: a terminal does not show it.
std::optional<std::string> ReadLine(bool hidden) {
  termios before{};
  bool hides = hidden && ::tcgetattr(STDIN_FILENO, &before) == 0;
  if (hides) {
    termios quiet = before;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &quiet);
  }
  std::string line;
  bool got = static_cast<bool>(std::getline(std::cin, line));
  if (hides) {
    ::tcsetattr(STDIN_FILENO, TCSANOW, &before);
    std::fputc('\n', stderr);
  }
  if (!got) return {};
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
  return line;
}

// The running relay, asked for JSON. What it refuses is complained about: the exit code.
class Relay {
 public:
  explicit Relay(RelayTarget target) : target_(std::move(target)) {}

  std::expected<std::string, int> Ask(std::string method, std::string path, std::string body = "",
                                      Duration patience = kPatience) const {
    return Ask({.method = std::move(method), .target = std::move(path), .body = std::move(body)},
               patience);
  }
  std::expected<std::string, int> Ask(const FetchRequest& request, Duration patience) const {
    return AnswerOf(target_, FetchUnix(target_.socket(), request, patience));
  }

 private:
  const RelayTarget target_;
};

// --- list --------------------------------------------------------------------------------------

// "5h 12%, week 34%"
std::string UsedText(const JsonIndex& account) {
  std::string text;
  JsonArray windows(account.Find("windows"));
  while (JsonValue item = windows.Next()) {
    Result<JsonIndex> window = JsonIndex::Object(item);
    if (!window) continue;
    if (!text.empty()) text += ", ";
    text += TextIn(*window, "name") + " ";
    text += std::string(window->Find("used_percent").Number().value_or("0")) + "%";
  }
  return text;
}

TableLine LineOf(const JsonIndex& account) {
  std::string state = TextIn(account, "state");
  if (std::string family = TextIn(account, "family"); !family.empty()) state += " " + family;
  std::string token;
  std::string cause = TextIn(account, "cause");
  if (Result<JsonIndex> its = JsonIndex::Object(account.Find("token"))) {
    token = TextIn(*its, "expires");
    if (token.empty()) token = TextIn(*its, "state");
    if (cause.empty()) cause = TextIn(*its, "cause");
  }
  return {TextIn(account, "cluster") + "/" + TextIn(account, "name"),
          TextIn(account, "kind"),
          TextIn(account, "source"),
          state,
          TextIn(account, "until"),
          std::to_string(account.Find("in_flight").Int().value_or(0)),
          UsedText(account),
          token,
          TextIn(account, "who"),
          cause};
}

std::expected<std::vector<JsonIndex>, int> AccountsIn(const std::string& body) {
  std::vector<JsonIndex> accounts;
  Result<JsonIndex> json = JsonIndex::Parse(body);
  if (!json) return std::unexpected(NotUnderstood());
  JsonArray list(json->Find("accounts"));
  while (JsonValue item = list.Next()) {
    if (Result<JsonIndex> account = JsonIndex::Object(item))
      accounts.push_back(std::move(*account));
  }
  return accounts;
}

int List(const Relay& relay, const Options& options) {
  auto body = relay.Ask("GET", "/admin/v1/accounts");
  if (!body) return body.error();
  if (options.json) {
    std::printf("%s\n", body->c_str());
    return kExitOk;
  }
  auto accounts = AccountsIn(*body);
  if (!accounts) return accounts.error();
  std::vector<TableLine> lines = {
      {"ACCOUNT", "KIND", "FROM", "STATE", "UNTIL", "BUSY", "USED", "TOKEN UNTIL", "WHO", "CAUSE"}};
  for (const JsonIndex& account : *accounts) lines.push_back(LineOf(account));
  std::fputs(TextTable(lines).c_str(), stdout);
  return kExitOk;
}

// --- One account -------------------------------------------------------------------------------

// The path of an account that is named "cluster/name", or "name" where that is enough.
std::expected<std::string, int> PathOf(const Relay& relay, const Options& options) {
  const std::string& wanted = options.names.front();
  auto body = relay.Ask("GET", "/admin/v1/accounts");
  if (!body) return std::unexpected(body.error());
  auto accounts = AccountsIn(*body);
  if (!accounts) return std::unexpected(accounts.error());
  std::vector<std::string> found;
  for (const JsonIndex& account : *accounts) {
    std::string id = TextIn(account, "cluster") + "/" + TextIn(account, "name");
    bool of_cluster = options.cluster.empty() || options.cluster == TextIn(account, "cluster");
    if (id == wanted || (of_cluster && TextIn(account, "name") == wanted)) found.push_back(id);
  }
  if (found.empty())
    return std::unexpected(
        Complain("there is no account '" + wanted + "'; see relay accounts list"));
  if (found.size() > 1) {
    return std::unexpected(
        Complain("'" + wanted + "' is in several clusters: " + found[0] + ", " + found[1]));
  }
  return "/admin/v1/accounts/" + found.front();
}

int Simple(const Relay& relay, const Options& options) {
  auto path = PathOf(relay, options);
  if (!path) return path.error();
  bool remove = options.action == "remove";
  auto body = remove ? relay.Ask("DELETE", *path)
                     : relay.Ask("POST", *path + "/" + std::string(options.action));
  if (!body) return body.error();
  std::printf("%s: %s\n", path->substr(path->find("accounts/") + 9).c_str(),
              options.action == "pause"    ? "paused; what runs goes on to its end"
              : options.action == "resume" ? "serves again"
              : options.action == "reset"  ? "nothing is held against it any more"
                                           : "removed");
  return kExitOk;
}

// A line of a running test, as it comes.
void PrintStep(const JsonIndex& step) {
  bool good = step.Find("good").Bool().value_or(false);
  std::printf("%-4s %-8s %6lld ms  %s\n", good ? "ok" : "BAD", TextIn(step, "what").c_str(),
              static_cast<long long>(step.Find("ms").Int().value_or(0)),
              TextIn(step, "detail").c_str());
  std::fflush(stdout);
}

int Test(const Relay& relay, const Options& options) {
  auto path = PathOf(relay, options);
  if (!path) return path.error();
  std::string target = *path + "/test?stream=true";
  if (!options.model.empty()) target += "&model=" + options.model;
  bool understood = true;
  bool good = false;
  auto on_line = [&](std::string_view line) {
    Result<JsonIndex> json = JsonIndex::Parse(line);
    if (!json) {
      understood = false;
    } else if (json->Find("what")) {
      PrintStep(*json);
    } else {
      good = json->Find("good").Bool().value_or(false);
    }
  };
  auto body = relay.Ask({.method = "POST", .target = target, .on_line = on_line}, kVendorPatience);
  if (!body) return body.error();
  if (!understood) return NotUnderstood();
  return good ? kExitOk : kExitFailed;
}

// --- add and login -----------------------------------------------------------------------------

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

void AddTags(std::string_view tags, JsonText& json) {
  json.Key("tags").BeginArray();
  for (const auto tag : std::views::split(tags, ',')) json.String(std::string_view(tag));
  json.EndArray();
}

int Add(const Relay& relay, const Options& options, const Environment& environment) {
  auto account = NewAccountOf(options);
  if (!account) return Complain(account.error());
  std::optional<std::string> key;
  if (!options.key_env.empty()) {
    key = environment(options.key_env);
    if (!key || key->empty()) return Complain(options.key_env + " is not set");
  } else {
    if (::isatty(STDIN_FILENO) == 1) std::fprintf(stderr, "API key: ");
    key = ReadLine(true);
  }
  if (!key || key->empty()) return Complain("no key came on standard input");
  JsonText json;
  json.BeginObject().Field("cluster", account->cluster).Field("name", account->name);
  json.Field("api_key", *key);
  if (options.priority >= 0) json.Field("priority", options.priority);
  if (options.concurrency >= 0) json.Field("concurrency", options.concurrency);
  if (options.weight >= 0) json.Field("weight", options.weight);
  if (!options.tags.empty()) AddTags(options.tags, json);
  WipeString(*key);
  auto body = relay.Ask("POST", "/admin/v1/accounts", json.EndObject().Take());
  if (!body) return body.error();
  std::printf("%s/%s is added; try it: relay accounts test %s/%s\n", account->cluster.c_str(),
              account->name.c_str(), account->cluster.c_str(), account->name.c_str());
  return kExitOk;
}

bool AcceptsTerms(const Options& options) {
  if (options.accept_terms) return true;
  std::fprintf(stderr, "%.*s\nType yes to go on: ", static_cast<int>(kTerms.size()), kTerms.data());
  std::optional<std::string> word = ReadLine(false);
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

int Login(const Relay& relay, const Options& options) {
  auto account = NewAccountOf(options);
  if (!account) return Complain(account.error());
  if (!AcceptsTerms(options)) return Complain("nothing was done");
  JsonText json;
  json.BeginObject().Field("cluster", account->cluster).Field("name", account->name);
  json.Field("setup_token", options.setup_token).Field("accept_terms", true);
  if (!options.project.empty()) json.Field("project", options.project);
  auto begun = relay.Ask("POST", "/admin/v1/logins", json.EndObject().Take());
  if (!begun) return begun.error();
  Result<JsonIndex> login = JsonIndex::Parse(*begun);
  if (!login) return NotUnderstood();
  std::printf(
      "Open this address in a browser, agree, and paste what the last page shows, or its "
      "address:\n\n%s\n\n",
      TextIn(*login, "url").c_str());
  std::fflush(stdout);
  std::string target = "/admin/v1/logins/" + TextIn(*login, "id");
  while (true) {
    if (::isatty(STDIN_FILENO) == 1) std::fprintf(stderr, "Code: ");
    std::optional<std::string> pasted = ReadLine(true);
    if (!pasted) return Complain("no code came on standard input");
    if (pasted->empty()) continue;
    auto body = relay.Ask("POST", target,
                          JsonText().BeginObject().Field("pasted", *pasted).EndObject().Take(),
                          kVendorPatience);
    WipeString(*pasted);
    if (!body) return body.error();
    Result<JsonIndex> told = JsonIndex::Parse(*body);
    if (!told) return NotUnderstood();
    TellLogin(*told);
    return kExitOk;
  }
}

}  // namespace

int RunAccounts(const Options& options, const Environment& environment) {
  std::expected<RelayTarget, int> target = FindTarget(options, environment);
  if (!target) return target.error();
  Relay relay(std::move(*target));
  if (options.action == "list") return List(relay, options);
  if (options.action == "login") return Login(relay, options);
  if (options.action == "add") return Add(relay, options, environment);
  if (options.action == "test") return Test(relay, options);
  return Simple(relay, options);
}

}  // namespace relay
