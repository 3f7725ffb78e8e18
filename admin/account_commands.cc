// SPDX-License-Identifier: MIT
#include "admin/account_commands.h"

#include <cstdio>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "admin/account_making.h"
#include "admin/ask.h"
#include "admin/fetch.h"
#include "admin/field_options.h"
#include "admin/table.h"
#include "core/base/json.h"
#include "core/base/percent.h"
#include "core/config/root.h"

namespace relay {
namespace {

// A test waits for the vendor.
constexpr Duration kVendorPatience = std::chrono::minutes(4);

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

int List(const RunningRelay& relay, const Options& options) {
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
std::expected<std::string, int> PathOf(const RunningRelay& relay, const Options& options) {
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

int ShowOrSet(const RunningRelay& relay, const Options& options, const Environment& environment) {
  const bool set = options.action == "set";
  JsonText json;
  json.BeginObject();
  auto added = AddTerms(options, environment, json);
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

int Simple(const RunningRelay& relay, const Options& options) {
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

int Test(const RunningRelay& relay, const Options& options) {
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
  auto body = relay.Answer(
      relay.Fetch({.method = "POST", .target = target, .on_line = on_line}, kVendorPatience));
  if (!body) return body.error();
  if (not_understood) return NotUnderstood(*not_understood);
  return good ? kExitOk : kExitFailed;
}

}  // namespace

int RunAccounts(const Options& options, const Environment& environment) {
  std::expected<RelayTarget, int> target = FindTarget(options, environment);
  if (!target) return target.error();
  RunningRelay relay(std::move(*target));
  if (options.action == "list") return List(relay, options);
  if (options.action == "login") return LogIn(relay, options, environment);
  if (options.action == "add") return AddAccount(relay, options, environment);
  if (options.action == "show" || options.action == "set") {
    return ShowOrSet(relay, options, environment);
  }
  if (options.action == "test") return Test(relay, options);
  return Simple(relay, options);
}

}  // namespace relay
