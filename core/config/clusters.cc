// SPDX-License-Identifier: MIT
// How clusters and their accounts are bound.
#include <algorithm>
#include <string>

#include "core/config/fits.h"
#include "core/config/root.h"
#include "core/config/root_check.h"

namespace relay {
namespace {

using namespace std::chrono_literals;

int PercentOf(std::string_view text) {
  Parsed<BytesOrShare> share = ParseBytesOrShare(text);
  return share ? share->percent : 0;
}

std::string PercentText(int percent) {
  return percent == 0 ? "" : std::to_string(percent) + "%";
}

const Fits kPercent{[](std::string_view text) { return PercentOf(text) > 0; },
                    "must be 1% to 100%"};

}  // namespace

static std::span<const Word<ForeignThinking>> WordsOf(ForeignThinking) {
  static constexpr Word<ForeignThinking> kWords[] = {{"take-out", ForeignThinking::kTakeOut},
                                                     {"pass", ForeignThinking::kPass}};
  return kWords;
}

namespace {

// `oauth: {refresh-token: …}` of an account.
struct AccountOauth {
  Secret refresh_token;
};
void Bind(Fields& f, AccountOauth& o) {
  f.Optional("refresh-token", o.refresh_token, NonEmpty{}, kNoPlaceholder, kCredential,
             "what a login gave; it is used until the store has a newer one");
}

// A credential that ${NAME:=} left empty, or null.
const Node* EmptiedOf(const Node* credential) {
  return credential != nullptr && credential->Emptied() ? credential : nullptr;
}

}  // namespace

static void Bind(Fields& f, OauthConfig& o) {
  f.Optional("authorize-url", o.authorize_url, "the page where a person agrees");
  f.Optional("token-url", o.token_url, "where codes and refresh tokens become tokens");
  f.Optional("profile-url", o.profile_url, "where the vendor says who a token belongs to");
  f.Optional("redirect-url", o.redirect_url, NonEmpty{}, kCredential,
             "the page that shows the code; as it is known for the client");
  f.Optional("client-id", o.client_id, NonEmpty{}, kCredential, "as whom the relay asks");
  f.Optional("client-secret", o.client_secret, kCredential, "gemini: the client's");
  f.Optional("scopes", o.scopes, OneOrMany{}, NonEmpty{}, kCredential, "what is asked for");
}

static void Bind(Fields& f, PauseAt& p) {
  std::string five_hours = PercentText(p.five_hours);
  std::string week = PercentText(p.week);
  f.Optional("5h", five_hours, kPercent, "of its five hours");
  f.Optional("week", week, kPercent, "of its week");
  p.five_hours = PercentOf(five_hours);
  p.week = PercentOf(week);
}

void Bind(Fields& f, AccountTerms& t) {
  f.Optional("priority", t.priority, Range{0, 1'000'000}, "lower first");
  f.Optional("concurrency", t.concurrency, Range{1, 1'000'000}, "requests at once");
  f.Optional("weight", t.weight, Range{1, 1'000},
             "its share of the load beside accounts of its priority; 1 without it, or concurrency "
             "where no account of the cluster has a weight and each has a concurrency");
  f.Optional("tags", t.tags, OneOrMany{}, NonEmpty{}, kName,
             "groups that it is in, for bind of keys and tags of account-select");
  f.Optional("pause-at", t.pause_at, "instead of the cluster's");
  f.Optional("models", t.models, OneOrMany{}, NonEmpty{}, kModelGlob, "only these; without it all");
  f.Optional("endpoint", t.endpoint, "instead of the cluster's");
  f.Optional("proxy", t.proxy, "instead of the cluster's; direct for none");
}

void Bind(Fields& f, AccountDraft& a) {
  f.Title("account");
  a.place = f.place();
  f.Required("name", a.name, kName, "unique in its cluster; cluster/name is what state hangs on");
  f.Optional("api-key", a.api_key, NonEmpty{}, kNoPlaceholder, kCredential,
             "a key of the vendor's API; empty through ${NAME:=}: the account is left out");
  f.Optional("oauth-token", a.oauth_token, NonEmpty{}, kNoPlaceholder, kCredential,
             "a subscription's bearer instead; serves only the vendor's own client");
  std::optional<AccountOauth> login;
  f.Optional("oauth", login, "a subscription's login instead, whose tokens are refreshed");
  if (login) a.refresh_token = login->refresh_token;
  f.Optional("project", a.project, NonEmpty{}, kCredential,
             "Code Assist: the account's Google Cloud project");
  Bind(f, static_cast<AccountTerms&>(a));
  a.project_place = f.PlaceOf("project");

  const Node* oauth = f.NodeOf("oauth");
  const Node* credentials[] = {f.NodeOf("api-key"), f.NodeOf("oauth-token"),
                               oauth == nullptr ? nullptr : oauth->Find("refresh-token")};
  const bool given[] = {f.Fine("api-key"), f.Fine("oauth-token"), !a.refresh_token.empty()};
  if (given[0] && (given[1] || given[2])) {
    f.Complain(given[1] ? "oauth-token" : "oauth",
               "cannot stand beside 'api-key': an account has one credential");
  } else if (given[1] && given[2]) {
    f.Complain("oauth", "cannot stand beside 'oauth-token': an account has one credential");
  } else if (given[0] || given[1] || given[2] || f.describing()) {
    return;
  }
  bool named = false;
  for (const Node* credential : credentials) {
    named = named || credential != nullptr;
    if (EmptiedOf(credential) != nullptr && a.emptied_by.empty()) {
      a.emptied_by = credential->emptied_by;
    }
  }
  if (oauth != nullptr && credentials[2] == nullptr && !oauth->broken && oauth->IsMap()) {
    f.ComplainAt(oauth->place, "'oauth' of an account needs a 'refresh-token'");
  } else if (!named && oauth == nullptr) {
    f.ComplainHere("needs an 'api-key', an 'oauth-token' or an 'oauth'");
  }
}

static void Bind(Fields& f, ClusterTimeouts& t) {
  f.Optional("connect", t.connect, Range{10ms, 5min}, "TCP and TLS to the upstream");
  f.Optional("first-byte", t.first_byte, kTimeout, "from the request's end to the answer's head");
  f.Optional("first-content", t.first_content, kTimeout,
             "from the request's end to a stream's first event; then an account that can serve "
             "takes its place, within failover's bounds; without it none does");
  f.Optional("idle", t.idle, kTimeout, "between two pieces of an answer");
}

static void Bind(Fields& f, RetryBudgetConfig& b) {
  f.Optional("percent", b.percent, Range{0, 100}, "of the requests in flight");
  f.Optional("min-concurrency", b.min_concurrency, Range{0, 10'000},
             "so many in any case; 0 with 0 percent: none");
}

static void Bind(Fields& f, OutlierConfig& c) {
  f.Optional("in-a-row", c.in_a_row, Range{1, 1000}, "failures that rest an account");
  std::string failures = "50%";
  f.Optional("failures", failures, kPercent, "of the requests of the last minute, that do, too");
  f.Optional("requests", c.requests, Range{1, 1'000'000}, "fewer in the last minute say nothing");
  std::string at_most = "50%";
  f.Optional("at-most", at_most, kPercent,
             "of the accounts rest at once, since they fail or their vendor is overloaded; one is "
             "left always");
  f.Optional("rest", c.rest, Range{Duration(1s), Duration(1h)},
             "doubled each time, until it serves well for as long");
  f.Optional("longest-rest", c.longest, Range{Duration(1s), Duration(24h)}, "no rest is longer");
  c.failures = PercentOf(failures);
  c.at_most = PercentOf(at_most);
}

static void Bind(Fields& f, FailoverConfig& c) {
  f.Optional("attempts", c.attempts, Range{1, 10}, "in all, the first one too");
  f.Optional("within", c.within, Range{100ms, 10min}, "no new attempt after this");
  f.Optional("on", c.on,
             Fits{IsFailoverCause, "must be connect, reset, 4xx, 5xx or a status 400..599"},
             "what moves a request to another account");
  f.Optional("budget", c.budget,
             "requests that may be tried again at once where the account fails already, too");
  f.Optional("thinking", c.thinking,
             "when a session moved, and its new account will not read the thinking of the old: "
             "take-out sends the request once more without it, pass tells the client");
}

void Bind(Fields& f, ClusterDraft& c) {
  f.Title("cluster");
  c.place = f.place();
  std::optional<Url> endpoint;
  std::optional<Url> code_assist;
  f.Required("provider", c.provider, "whose API it speaks");
  f.Optional("endpoint", endpoint, "without it the vendor's own");
  f.Optional("code-assist-endpoint", code_assist, "gemini: where Code Assist requests go");
  f.Optional("oauth", c.oauth, "how subscriptions log in; what is not said is the vendor's own");
  f.Optional("proxy", c.proxy,
             "the way out, http:// (CONNECT), https:// or socks5://, as user:password@host:port; "
             "without it direct");
  f.Optional("allow-private", c.allow_private,
             "accounts that are not of this file may name private and local addresses too");
  f.Optional("pause-at", c.pause_at,
             "the share of a subscription's windows from which on others serve what is new, until "
             "the window begins anew; without it, or where no other can serve, none");
  f.Optional("accounts", c.drafts, "none: requests get 503");
  f.Optional("timeouts", c.timeouts, "of its upstream");
  f.Optional("failover", c.failover, "before an answer begins");
  f.Optional("outliers", c.outliers, "when failures rest an account");
  f.Optional("rules", c.rules,
             "what answers mean for their account; the first that matches counts, then the "
             "relay's own");
  if (c.timeouts.first_content && *c.timeouts.first_content >= c.failover.within) {
    f.Warn("timeouts", "says first-content: " + FormatDuration(*c.timeouts.first_content) +
                           ", which moves nothing, since failover ends within " +
                           FormatDuration(c.failover.within));
  }
  bool gemini = c.provider == ProviderKind::kGemini;
  c.endpoint = endpoint.value_or(
      Url{true, gemini ? "generativelanguage.googleapis.com" : "api.anthropic.com", 443, ""});
  if (gemini)
    c.code_assist_endpoint =
        code_assist.value_or(Url{true, "cloudcode-pa.googleapis.com", 443, ""});
  if (!f.Fine("provider")) return;
  if (!gemini) f.Complain("code-assist-endpoint", "is for provider gemini only");
  bool logs_in = std::any_of(c.drafts.begin(), c.drafts.end(),
                             [](const AccountDraft& a) { return !a.refresh_token.empty(); });
  if (gemini && logs_in && c.oauth.client_secret.empty()) {
    f.ComplainHere(
        "needs 'oauth: {client-secret: …}' for accounts that log in: the secret of Gemini CLI's "
        "own client, which its public source has, by ${GEMINI_OAUTH_CLIENT_SECRET}");
  }
  for (const AccountDraft& account : c.drafts) {
    if (account.project.empty()) continue;
    if (!gemini) {
      f.ComplainAt(account.project_place, "'project' is for provider gemini only");
    } else if (!account.api_key.empty()) {
      f.ComplainAt(account.project_place, "'project' goes with a login, not with 'api-key'");
    }
  }
}

}  // namespace relay
