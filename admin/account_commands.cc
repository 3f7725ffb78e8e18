// SPDX-License-Identifier: MIT
#include "admin/account_commands.h"

#include <termios.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "admin/ask.h"
#include "admin/fetch.h"
#include "admin/field_options.h"
#include "admin/table.h"
#include "core/base/json.h"
#include "core/base/percent.h"
#include "core/base/secret.h"
#include "core/config/root.h"

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

// As long as this lives a terminal does not show what is typed; also one at which somebody ends the
// program meanwhile shows it again.
class Hidden {
 public:
  Hidden() : hides_(::tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!hides_) return;
    caught_ = 0;
    struct sigaction note{};
    note.sa_handler = [](int number) {
      caught_ = number;
    };  // without SA_RESTART it ends the reading
    for (size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &note, &actions_[i]);
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &quiet);
  }
  Hidden(const Hidden&) = delete;
  Hidden& operator=(const Hidden&) = delete;
  ~Hidden() {
    if (!hides_) return;
    ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
    for (size_t i = 0; i < kSignals.size(); ++i) {
      ::sigaction(kSignals[i], &actions_[i], nullptr);
    }
    std::fputc('\n', stderr);
    if (caught_ != 0) ::raise(caught_);
  }

 private:
  static constexpr std::array<int, 4> kSignals = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
  static inline volatile sig_atomic_t caught_ = 0;
  termios before_{};
  const bool hides_;
  std::array<struct sigaction, kSignals.size()> actions_{};
};

// One line without its end; nothing at the end of the input.
std::optional<std::string> ReadLine(bool hidden) {
  std::optional<Hidden> hides;
  if (hidden) hides.emplace();
  std::string line;
  if (!std::getline(std::cin, line)) return {};
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
  // The same, but what was asked with is to be mended: `again`, and tried anew.
  std::expected<std::string, int> Try(const FetchRequest& request, Duration patience,
                                      bool& again) const {
    Result<Fetched> fetched = FetchUnix(target_.socket(), request, patience);
    again = fetched && fetched->status == 400;
    return AnswerOf(target_, std::move(fetched));
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

std::string IdOf(const JsonIndex& account) {
  return TextIn(account, "cluster") + "/" + TextIn(account, "name");
}

std::string StateOf(const JsonIndex& account) {
  std::string family = TextIn(account, "family");
  return TextIn(account, "state") + (family.empty() ? "" : " " + family);
}

// Of a login's token: until when it lives, or why there is none.
struct TokenText {
  std::string until;
  std::string cause;
};
TokenText TokenOf(const JsonIndex& account) {
  Result<JsonIndex> token = JsonIndex::Object(account.Find("token"));
  if (!token) return {};
  std::string until = ShortTime(TextIn(*token, "expires"));
  return {until.empty() ? TextIn(*token, "state") : until, TextIn(*token, "cause")};
}

std::string TermsOf(const JsonIndex& account) {
  return Printable(FieldsText(account.Find("terms")));
}

TableLine LineOf(const JsonIndex& account) {
  TokenText token = TokenOf(account);
  std::string cause = TextIn(account, "cause");
  return {IdOf(account),
          TextIn(account, "kind"),
          TextIn(account, "source"),
          StateOf(account),
          ShortTime(TextIn(account, "until")),
          std::to_string(account.Find("in_flight").Int().value_or(0)),
          UsedText(account),
          token.until,
          TextIn(account, "who"),
          cause.empty() ? token.cause : cause,
          TermsOf(account)};
}

std::expected<std::vector<JsonIndex>, int> AccountsIn(const std::string& body) {
  std::vector<JsonIndex> accounts;
  Result<JsonIndex> json = JsonIndex::Parse(body);
  if (!json) return std::unexpected(NotUnderstood(json.error()));
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
  if (accounts->empty()) {
    std::puts("there is no account yet; relay accounts login NAME, or add NAME, makes one");
    return kExitOk;
  }
  std::vector<TableLine> lines = {{"account", "kind", "declared in", "state", "until", "busy",
                                   "used", "token until", "who", "cause", "terms"}};
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
    std::string id = IdOf(account);
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

// One account for people: what is known of it line by line, then what went wrong of late.
void PrintDetails(const JsonIndex& account) {
  TokenText token = TokenOf(account);
  std::vector<TableLine> lines;
  auto add = [&](const char* what, const std::string& text) {
    if (!text.empty()) lines.push_back({what, text});
  };
  add("account", IdOf(account));
  add("kind", TextIn(account, "kind"));
  add("declared in", TextIn(account, "source"));
  add("who", TextIn(account, "who"));
  add("project", TextIn(account, "project"));
  add("state", StateOf(account));
  add("cause", TextIn(account, "cause"));
  add("until", ShortTime(TextIn(account, "until")));
  add("busy", std::to_string(account.Find("in_flight").Int().value_or(0)));
  add("used", UsedText(account));
  add("token until", token.until);
  add("token's trouble", token.cause);
  Result<JsonIndex> terms = JsonIndex::Object(account.Find("terms"));
  for (const JsonField& field : terms ? terms->fields() : std::span<const JsonField>()) {
    lines.push_back({terms->Key(field), Printable(ValueText(terms->Value(field)))});
  }
  std::fputs(TextTable(lines).c_str(), stdout);
  lines = {{"trouble of late", "status", "cause"}};
  for (JsonArray list(account.Find("incidents")); JsonValue item = list.Next();) {
    Result<JsonIndex> incident = JsonIndex::Object(item);
    if (!incident) continue;
    int64_t status = incident->Find("status").Int().value_or(0);
    lines.push_back({ShortTime(TextIn(*incident, "when")),
                     status == 0 ? "-" : std::to_string(status), TextIn(*incident, "cause")});
  }
  if (lines.size() > 1) std::printf("\n%s", TextTable(lines).c_str());
}

// What is said of an account by the fields of relay.yaml. The error is for people.
std::expected<void, std::string> AddFields(const Options& options, const Environment& environment,
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

int ShowOrSet(const Relay& relay, const Options& options, const Environment& environment) {
  const bool set = options.action == "set";
  JsonText json;
  json.BeginObject();
  auto added = AddFields(options, environment, json);
  if (!added) return Complain(added.error());
  const std::string change = json.EndObject().Take();
  if (set && change == "{}") {
    Complain("'accounts set' needs something to set; relay help accounts set lists what");
    return kExitUsage;
  }
  auto path = PathOf(relay, options);
  if (!path) return path.error();
  auto body = set ? relay.Ask("PATCH", *path, change) : relay.Ask("GET", *path);
  if (!body) return body.error();
  if (options.json) {
    std::printf("%s\n", body->c_str());
    return kExitOk;
  }
  Result<JsonIndex> account = JsonIndex::Parse(*body);
  if (!account) return NotUnderstood(account.error());
  PrintDetails(*account);
  return kExitOk;
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
  if (!options.model.empty()) target += "&model=" + PercentEncode(options.model);
  std::optional<Error> not_understood;
  bool good = false;
  auto on_line = [&](std::string_view line) {
    Result<JsonIndex> json = JsonIndex::Parse(line);
    if (!json) {
      not_understood = json.error();
    } else if (json->Find("what")) {
      PrintStep(*json);
    } else {
      good = json->Find("good").Bool().value_or(false);
    }
  };
  auto body = relay.Ask({.method = "POST", .target = target, .on_line = on_line}, kVendorPatience);
  if (!body) return body.error();
  if (not_understood) return NotUnderstood(*not_understood);
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
  WipeString(*key);
  auto added = AddFields(options, environment, json);
  if (!added) return Complain(added.error());
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

// What is no code of this login is asked for again: the page is still good.
int EndLogin(const Relay& relay, const std::string& target) {
  for (bool again = false;;) {
    if (::isatty(STDIN_FILENO) == 1) std::fprintf(stderr, "Code: ");
    std::optional<std::string> pasted = ReadLine(true);
    if (!pasted) return again ? kExitFailed : Complain("no code came on standard input");
    if (pasted->empty()) continue;
    FetchRequest request{.method = "POST", .target = target};
    request.body = JsonText().BeginObject().Field("pasted", *pasted).EndObject().Take();
    WipeString(*pasted);
    auto body = relay.Try(request, kVendorPatience, again);
    if (!body && again) continue;
    if (!body) return body.error();
    Result<JsonIndex> told = JsonIndex::Parse(*body);
    if (!told) return NotUnderstood(told.error());
    TellLogin(*told);
    return kExitOk;
  }
}

int Login(const Relay& relay, const Options& options, const Environment& environment) {
  auto account = NewAccountOf(options);
  if (!account) return Complain(account.error());
  JsonText json;
  json.BeginObject().Field("cluster", account->cluster).Field("name", account->name);
  json.Field("setup_token", options.setup_token).Field("accept_terms", true);
  if (!options.project.empty()) json.Field("project", options.project);
  auto added = AddFields(options, environment, json);
  if (!added) return Complain(added.error());
  if (!AcceptsTerms(options)) return Complain("nothing was done");
  auto begun = relay.Ask("POST", "/admin/v1/logins", json.EndObject().Take());
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

}  // namespace

int RunAccounts(const Options& options, const Environment& environment) {
  std::expected<RelayTarget, int> target = FindTarget(options, environment);
  if (!target) return target.error();
  Relay relay(std::move(*target));
  if (options.action == "list") return List(relay, options);
  if (options.action == "login") return Login(relay, options, environment);
  if (options.action == "add") return Add(relay, options, environment);
  if (options.action == "show" || options.action == "set") {
    return ShowOrSet(relay, options, environment);
  }
  if (options.action == "test") return Test(relay, options);
  return Simple(relay, options);
}

}  // namespace relay
