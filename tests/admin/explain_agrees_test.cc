// SPDX-License-Identifier: MIT
// That `relay explain` agrees with what then happens, over situations that a dice makes: each is
// explained twice, and then really served by the same process, up to a vendor on the loopback.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "admin/endpoints.h"
#include "admin/explain.h"
#include "admin/rehearsal.h"
#include "tests/admin/fixture.h"
#include "tests/admin/situations.h"
#include "tests/support/long_form.h"
#include "tests/upstreams/cluster_world.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using Kind = Situation::Event::Kind;

constexpr int kSituations = 500;
constexpr int kManySituations = 10'000;

// Says that its route was entered.
class RouteWitness final : public Filter {
 public:
  explicit RouteWitness(std::string& seen) : seen_(seen) {}
  std::string_view name() const override { return "witness"; }
  Task<Verdict> OnRequest(Exchange& x) override {
    seen_ = x.route->name;
    return Verdict::Continue();
  }

 private:
  std::string& seen_;
};

// What came of a request that was served.
struct Served {
  int status = 0;
  std::string route;  // "": none was entered
  std::string type;   // of our refusal
  std::string message;
  std::string decision;  // x-relay-decision
  std::optional<SeenRequest> sent;
};

// One process whose configuration becomes another with each situation.
class World {
 public:
  World() {
    auto made = Services::Make(ConfigOf("listeners: [{address: '127.0.0.1:0'}]\nclusters: {c: "
                                        "{provider: claude}}\nroutes: [{name: r, match: {prefix: "
                                        "/}, cluster: c, filters: [auth: {service: claude}, "
                                        "account-select: {}]}]\n"),
                               clock, uint64_t{1} << 30);
    EXPECT_TRUE(made);
    services = std::move(*made);
    endpoints = std::make_unique<ProcessEndpoints>(*services);
    worker = std::make_unique<Worker>(loop, *endpoints, services->bodies, services->exchanges,
                                      ExchangeLimits{});
    worker->wrong_keys = &services->wrong_keys;
    worker->limits.wrong_keys = 3;
    worker->trusted_proxies = {*Network::Parse("0.0.0.0")};
  }
  ~World() { Clear(); }

  void Clear() {
    client.reset();
    held.clear();
    slots.clear();
    TurnUntil([&] { return services->exchanges.active() == 0; });
    worker->table.reset();
    clusters.clear();
    loop.Turn();
  }
  // What must come comes, however busy the machine is.
  template <class Done>
  void TurnUntil(Done done) {
    const TimePoint last = SystemClock::Get().Now() + 30s;
    while (!done() && SystemClock::Get().Now() < last) {
      if (client != nullptr) client->Move();
      loop.Turn();
    }
    EXPECT_TRUE(done()) << "nothing moves any more";
  }
  // Whether a request stands in a queue, from which time may free it.
  bool Queued() const {
    for (const auto& cluster : snapshot->clusters) {
      if (cluster->pool->waiting() > 0) return true;
    }
    for (const KeyConfig& key : snapshot->config->keys) {
      std::vector<std::shared_ptr<LimitScope>> scopes;
      std::shared_ptr<const KeyRecord> record = snapshot->keys->FindByName(key.name);
      scopes.push_back(record->scope);
      for (const auto& service : record->service_limits) scopes.push_back(service.scope);
      for (const RouteConfig& route : snapshot->config->routes) {
        scopes.push_back(services->limiter.Scope(Limiter::NameOfRoute(route.name)));
        scopes.push_back(services->limiter.Scope(Limiter::NameOfRoute(route.name, key.name)));
      }
      for (const auto& scope : scopes) {
        if (scope->Waiting() > 0) return true;
      }
    }
    return false;
  }

  // What WorkerThread does with a snapshot, with a witness before each chain.
  void Take(const Situation& situation) {
    Clear();
    auto stored = std::make_shared<StoredObjects>();
    for (const auto& event : situation.events) {
      if (event.kind != Kind::kPaused) continue;
      StoredAccount& paused = stored->accounts.emplace_back();
      paused.cluster = ClusterOf(event.where);
      paused.config.name = AccountOf(event.where);
      paused.paused = true;
    }
    auto built = services->Build(ConfigOf(situation.yaml), stored);
    ASSERT_TRUE(built);
    services->Publish(*built);
    snapshot = *built;
    std::vector<Cluster*> known;
    std::vector<Upstream*> upstreams;
    for (const auto& shared : snapshot->clusters) {
      clusters.push_back(std::make_unique<Cluster>(loop, resolver, shared));
      known.push_back(clusters.back().get());
      upstreams.push_back(clusters.back().get());
    }
    auto table = std::make_shared<RouteTable>();
    for (const Route& made : MakeRoutes(*services, *snapshot->config, known, upstreams)->routes) {
      Route& route = table->routes.emplace_back();
      route.name = made.name;
      route.prefixes = made.prefixes;
      route.paths = made.paths;
      route.passthrough = made.passthrough;
      route.upstream = made.upstream;
      route.metrics = made.metrics;
      route.filters.push_back(std::make_unique<RouteWitness>(entered));
      const RouteConfig& from = *snapshot->config->FindRoute(made.name);
      const auto& configs = snapshot->config->clusters;
      auto at = std::ranges::find(configs, from.cluster, &ClusterConfig::name);
      FilterContext context{from.name,         *known[static_cast<size_t>(at - configs.begin())],
                            services->limiter, services->ledger,
                            services->prices,  services->metrics};
      for (const FilterSpec& spec : from.filters) {
        route.filters.push_back(MakeFilter(spec, context));
      }
    }
    worker->table = std::move(table);
    worker->keys = snapshot->keys;
  }

  static std::string ClusterOf(const std::string& id) { return id.substr(0, id.find('/')); }
  static std::string AccountOf(const std::string& id) { return id.substr(id.find('/') + 1); }
  const ClusterShared& Shared(const std::string& id) const {
    return **std::ranges::find_if(
        snapshot->clusters, [&](const auto& one) { return one->config.name == ClusterOf(id); });
  }

  // A wish that the account alone can have.
  Wish WishFor(const std::string& id) const {
    const ClusterShared& shared = Shared(id);
    auto account = std::ranges::find_if(
        shared.accounts, [&](const auto& one) { return one->name == AccountOf(id); });
    Wish wish;
    wish.bound = AccountOf(id);
    wish.vendor_client = true;
    wish.model = (*account)->models.empty() ? "" : (*account)->models.front();
    wish.family = shared.provider->FamilyOf(wish.model);
    return wish;
  }
  void Hold(const std::string& id) {
    AccountPool::Taken taken = Shared(id).pool->TryTake(WishFor(id));
    if (taken) held.push_back(std::move(*taken));
  }
  void Report(const std::string& id, Judgement::Kind kind, int times, const std::string& family) {
    AccountPool& pool = *Shared(id).pool;
    std::vector<AccountPool::View> views = pool.Look();
    auto at = std::ranges::find(views, AccountOf(id), &AccountPool::View::name);
    Judgement judgement;
    judgement.kind = kind;
    judgement.cause = "as the dice will have it";
    Wish wish;
    if (!family.empty()) {
      judgement.scope = Judgement::Scope::kFamily;
      wish.family = Shared(id).provider->FamilyOf(family);
    }
    for (int i = 0; i < times; ++i) {
      pool.Report(static_cast<size_t>(at - views.begin()), judgement, wish);
    }
  }
  void AdmitKey(const std::string& name, Charge spent, bool runs) {
    std::shared_ptr<const KeyRecord> key = snapshot->keys->FindByName(name);
    Limiter::Ask ask;
    ask.claims[0] = {key->scope, key->limits};
    if (const auto* on = key->LimitsOn("claude")) ask.claims[2] = {on->scope, on->limits};
    ask.shadow = true;
    if (runs) ask.reserve = {50, 20'000'000};
    auto slot = std::make_unique<Slot>();
    (void)services->limiter.Admit(ask, clock.Now(), *slot);
    if (runs) {
      slots.push_back(std::move(slot));
    } else {
      services->limiter.Settle(*slot, spent);
    }
  }

  void Happen(const Situation::Event& event) {
    using Judged = Judgement::Kind;
    switch (event.kind) {
      case Kind::kPaused: break;
      case Kind::kLimited: Report(event.where, Judged::kLimited, 1, ""); break;
      case Kind::kFamily: Report(event.where, Judged::kLimited, 1, event.text); break;
      case Kind::kOverloaded: Report(event.where, Judged::kOverloaded, 1, ""); break;
      case Kind::kBroken: Report(event.where, Judged::kBroken, 5, ""); break;
      case Kind::kRefused: Report(event.where, Judged::kRefused, 1, ""); break;
      case Kind::kExpired: Report(event.where, Judged::kExpired, 1, ""); break;
      case Kind::kTime: clock.Advance(std::chrono::milliseconds(event.amount)); break;
      case Kind::kProbed:
        Report(event.where, Judged::kOverloaded, 1, "");
        clock.Advance(6s);
        if (event.amount == 1) Hold(event.where);
        break;
      case Kind::kBusy:
        for (int64_t i = 0; i < event.amount; ++i) Hold(event.where);
        break;
      case Kind::kSticky: {
        Wish wish = WishFor(event.where);
        wish.sticky = event.text;
        AccountPool::Taken ended = Shared(event.where).pool->TryTake(wish);
        Usage usage;
        usage.model = wish.model;
        usage.cache_write_5m = event.amount;
        if (ended) (*ended)->NoteUsage(usage, clock.Now());
        break;
      }
      case Kind::kStarts:
        for (int64_t i = 0; i < event.amount; ++i) AdmitKey(event.where, {}, false);
        break;
      case Kind::kRuns:
        for (int64_t i = 0; i < event.amount; ++i) AdmitKey(event.where, {}, true);
        break;
      case Kind::kSpent:
        AdmitKey(event.where, {event.amount / 1'000'000, event.amount}, false);
        break;
      case Kind::kWrong:
        for (int64_t i = 0; i < event.amount; ++i) {
          (void)services->wrong_keys.Add(*IpAddress::Parse(event.text), 3, clock.Now());
        }
        break;
    }
  }

  static RehearsedRequest WithSecret(const Situation& situation) {
    RehearsedRequest request = situation.request;
    if (situation.secret.empty()) return request;
    if (situation.secret_field.empty()) {
      char mark = request.target.find('?') == std::string::npos ? '?' : '&';
      request.target += mark + ("key=" + situation.secret);
    } else {
      bool bearer = situation.secret_field == "authorization";
      request.headers.emplace_back(situation.secret_field,
                                   (bearer ? "Bearer " : "") + situation.secret);
    }
    return request;
  }

  std::string Explain(const Situation& situation, Explanation& explanation) {
    RehearsedRequest request = situation.by_name ? situation.request : WithSecret(situation);
    Result<Unit> done = Rehearse(*services, *endpoints, request, explanation);
    EXPECT_TRUE(done) << done.error().what;
    return explanation.Json();
  }

  Served Serve(const Situation& situation) {
    const RehearsedRequest request = WithSecret(situation);
    vendor.requests.clear();
    entered.clear();
    std::vector<std::string> fields;
    fields.reserve(request.headers.size() + 1);
    for (const auto& [name, value] : request.headers) {
      std::string& field = fields.emplace_back(name);
      field.append(": ").append(value);
    }
    // As Rehearse does.
    if (!request.body.empty()) fields.emplace_back("content-type: application/json");
    loop.Turn();  // it is later than the loop knows
    client = std::make_unique<ClientSocket>(loop, limits, *worker);
    client->Send(
        ClusterWorld::Request(request.method + " " + request.target, request.body, fields));
    TurnUntil([&] {
      // Who waits is given time, in steps that no end of a rest falls between unseen.
      if (client->text.empty() && Queued()) clock.Advance(100ms);
      return !client->text.empty();
    });
    return Read();
  }
  Served Read() const {
    Served served;
    const std::string& text = client->text;
    if (text.size() >= 12) served.status = std::stoi(text.substr(9, 3));
    served.route = entered;
    size_t end = text.find("\r\n\r\n");
    served.decision = SeenRequest{text.substr(0, end), ""}.Field("x-relay-decision");
    Result<JsonIndex> body = JsonIndex::Parse(
        end == std::string::npos ? std::string_view() : std::string_view(text).substr(end + 4));
    if (body) {
      Result<JsonIndex> error = JsonIndex::Object(body->Find("error"));
      if (error) {
        served.type =
            error->Find("type").String().value_or(error->Find("status").String().value_or(""));
        served.message = error->Find("message").String().value_or("");
      } else {
        served.message = body->Find("error").String().value_or("");
      }
    }
    if (!vendor.requests.empty()) served.sent = vendor.requests.back();
    return served;
  }

  // All that serving changes, as text.
  std::string States() {
    std::string text;
    for (const auto& cluster : snapshot->clusters) {
      for (const AccountPool::View& view : cluster->pool->Look()) {
        text += cluster->config.name + "/" + view.name + " " + std::string(NameOf(view.health)) +
                " " + view.cause + " " + view.family + " " + std::to_string(view.in_flight) + " " +
                std::to_string(view.until.time_since_epoch().count()) + "\n";
      }
      text += std::to_string(cluster->pool->waiting()) + " wait\n";
      for (const auto& health : cluster->pool->TakeChangedHealth())
        text += health.account + " changed\n";
      for (const auto& session : cluster->pool->TakeChangedSessions()) {
        text += session.sticky + " on " + session.account + "\n";
      }
    }
    for (const Limiter::Kept& kept : services->limiter.TakeChanged()) {
      text += kept.scope + " changed\n";
    }
    for (const KeyConfig& key : snapshot->config->keys) {
      std::shared_ptr<const KeyRecord> record = snapshot->keys->FindByName(key.name);
      text += key.name + " runs " + std::to_string(record->scope->InFlight()) + "\n";
    }
    std::vector<StateBlob> uses;
    services->uses.TakeChanged(uses);
    for (const StateBlob& use : uses) text += use.id + " used\n";
    text += std::to_string(services->wrong_keys.size()) + " places of wrong keys\n";
    text += std::to_string(services->bodies.used()) + " bytes of bodies\n";
    text += std::to_string(services->exchanges.active()) + " active\n";
    return text + std::to_string(services->ledger.unsettled()) + " unsettled\n";
  }

  ManualClock clock;
  Loop loop{clock};
  Resolver resolver{loop};
  Vendor vendor{loop};
  ServerLimits limits;
  std::unique_ptr<Services> services;
  std::unique_ptr<ProcessEndpoints> endpoints;
  std::shared_ptr<const Snapshot> snapshot;
  std::unique_ptr<Worker> worker;
  std::vector<std::unique_ptr<Cluster>> clusters;
  std::vector<std::unique_ptr<AccountLease>> held;
  std::vector<std::unique_ptr<Slot>> slots;
  std::unique_ptr<ClientSocket> client;
  std::string entered;
};

// The field lines of a head as it came, without those that frame it.
std::vector<std::pair<std::string, std::string>> FieldsOf(const SeenRequest& seen) {
  std::vector<std::pair<std::string, std::string>> fields;
  for (size_t at = seen.head.find("\r\n"); at != std::string::npos;) {
    size_t end = std::min(seen.head.find("\r\n", at + 2), seen.head.size());
    std::string line = seen.head.substr(at + 2, end - at - 2);
    size_t colon = line.find(": ");
    std::string name = line.substr(0, colon);
    if (!EqualsIgnoreCase(name, "host") && !EqualsIgnoreCase(name, "content-length")) {
      fields.emplace_back(name, line.substr(colon + 2));
    }
    at = end == seen.head.size() ? std::string::npos : end;
  }
  return fields;
}

void ExpectSameHead(const Explanation::Sent& told, const SeenRequest& seen,
                    const std::string& credential) {
  std::string line = seen.line();
  size_t path = told.url.find('/', std::string_view("http://").size());
  EXPECT_EQ(line, told.method + " " + told.url.substr(path) + " HTTP/1.1");
  EXPECT_EQ("http://" + seen.Field("host"), told.url.substr(0, path));
  EXPECT_EQ(seen.body.size(), told.body_bytes);
  EXPECT_EQ(seen.credential(), credential);
  auto fields = FieldsOf(seen);
  // What is hidden is there all the same.
  for (size_t i = 0; i < std::min(fields.size(), told.fields.size()); ++i) {
    if (told.fields[i].second == "***") fields[i].second = "***";
  }
  EXPECT_EQ(fields, told.fields);
  EXPECT_EQ(seen.head.find("cookie"), std::string::npos);
}

class Agreement {
 public:
  void Try(int number) {
    Situation situation =
        SituationMaker(static_cast<uint64_t>(number), world_.vendor.port()).Make();
    world_.Take(situation);
    if (testing::Test::HasFatalFailure()) return;
    for (const Situation::Event& event : situation.events) world_.Happen(event);
    (void)world_.States();  // what was changed until now is taken
    const std::string before = world_.States();
    Explanation explanation(situation.by_name ? situation.key : "");
    const std::string json = world_.Explain(situation, explanation);
    Explanation again(explanation.key());
    EXPECT_EQ(world_.Explain(situation, again), json);
    EXPECT_EQ(world_.States(), before);
    // In half of them the account that was chosen fails, where another is to follow.
    const std::string then = explanation.Get("then").substr(0, explanation.Get("then").find(','));
    if (number % 2 == 1 && !then.empty() && !explanation.Get("model").empty()) {
      world_.vendor.Answer(CredentialOf(explanation.Get("account")),
                           Json(500, R"({"error":{"type":"api_error","message":"no"}})"));
      ++counts["then"];
      CompareNext(explanation.Get("account"), then, world_.Serve(situation));
    } else {
      const Served served = world_.Serve(situation);
      EXPECT_LE(world_.vendor.requests.size(), 1U);
      Compare(explanation, served);
    }
    Count(explanation, json);
    if (!testing::Test::HasFailure()) return;
    ADD_FAILURE() << "situation " << number << ":\n"
                  << situation.yaml << "\n"
                  << ExplanationText(json).value_or(json) << json << "\n"
                  << world_.client->text;
  }
  // How often each was the outcome: "served", "refused by auth", "sticky moved", "barred busy".
  std::map<std::string, int> counts;
  mutable int told = 0;  // how often x-relay-decision was there

 private:
  void Compare(const Explanation& explanation, const Served& served) {
    std::string credential = CredentialOf(explanation.Get("account"));
    if (!served.route.empty()) EXPECT_EQ(served.route, explanation.Get("route"));
    EXPECT_EQ(served.decision.substr(0, served.decision.find("; wait=")), DecisionOf(explanation));
    if (explanation.refused()) {
      Result<JsonIndex> json = JsonIndex::Parse(json_ = explanation.Json());
      Result<JsonIndex> refusal = JsonIndex::Object(json->Find("refusal"));
      EXPECT_EQ(served.status, explanation.status()) << served.message;
      EXPECT_EQ(served.type, refusal->Find("type").String());
      // After a wait another limit may be at fault than the one that was told.
      bool waits = json_.find("\"wait-at-most-ms\"") != std::string::npos;
      if (!waits) EXPECT_EQ(served.message, refusal->Find("message").String());
      EXPECT_FALSE(served.sent);
      return;
    }
    EXPECT_EQ(served.status, explanation.status() == 0 ? 200 : explanation.status());
    EXPECT_EQ(served.sent.has_value(), explanation.sent().has_value());
    if (served.sent && explanation.sent()) {
      ExpectSameHead(*explanation.sent(), *served.sent, credential);
    }
  }
  void CompareNext(const std::string& failed, const std::string& then, const Served& served) {
    EXPECT_EQ(world_.vendor.requests.size(), 2U);
    EXPECT_EQ(world_.vendor.requests.front().credential(), CredentialOf(failed));
    EXPECT_EQ(world_.vendor.requests.back().credential(), CredentialOf(then));
    EXPECT_EQ(served.status, 200) << served.message;
    if (served.decision.empty()) return;
    EXPECT_NE(served.decision.find("; account=" + World::AccountOf(then) + ";"), std::string::npos)
        << served.decision;
    EXPECT_NE(served.decision.find("; tried=" + World::AccountOf(failed) + ":500"),
              std::string::npos)
        << served.decision;
  }
  // What x-relay-decision should tell, but for the wait.
  std::string DecisionOf(const Explanation& explanation) const {
    std::shared_ptr<const KeyRecord> key =
        world_.snapshot->keys->FindByName(explanation.Get("key"));
    if (key == nullptr || !key->decisions) return "";
    ++told;
    std::string text = "route=" + explanation.Get("route");
    std::string account = explanation.Get("account");
    std::string sticky = explanation.Get("sticky");
    text += explanation.refused() ? "; refused=" + explanation.refused_by()
                                  : "; account=" + World::AccountOf(account);
    if (!sticky.empty() && sticky != "none") text += "; sticky=" + sticky;
    if (explanation.refused()) return text;
    std::string lost = explanation.Get("cache-lost");
    return text + "; attempts=1" + (lost.empty() ? "" : "; cache-lost=" + lost);
  }
  // As the maker has it.
  static std::string CredentialOf(const std::string& account) {
    return World::ClusterOf(account) + "-" + World::AccountOf(account) + "-credential";
  }
  void Count(const Explanation& explanation, const std::string& text) {
    Result<JsonIndex> json = JsonIndex::Parse(text);
    Result<JsonIndex> refusal = JsonIndex::Object(json->Find("refusal"));
    std::string by = refusal ? refusal->Find("by").String().value_or("") : "";
    ++counts[explanation.refused() ? "refused by " + by : "served"];
    if (explanation.sent()) ++counts["sent"];
    if (std::string sticky = explanation.Get("sticky"); !sticky.empty()) {
      ++counts["sticky " + sticky];
    }
    for (JsonArray steps(json->Find("steps")); JsonValue item = steps.Next();) {
      Result<JsonIndex> step = JsonIndex::Object(item);
      for (JsonArray notes(step->Find("notes")); JsonValue one = notes.Next();) {
        Result<JsonIndex> note = JsonIndex::Object(one);
        std::string outcome = note->Find("outcome").String().value_or("");
        std::string why = note->Find("why").String().value_or("");
        if (!why.empty()) outcome.append(" ").append(why);
        if (!outcome.empty()) ++counts[outcome];
        if (note->Find("cache-lost-tokens")) ++counts["cache lost"];
        if (note->Find("wait-ms")) ++counts[step->Find("name").String().value_or("") + " waits"];
      }
    }
  }

  World world_;
  std::string json_;
};

TEST(Explain, AgreesWithWhatThenHappensInFiveHundredSituations) {
  Agreement agreement;
  const int situations = IsLongForm() ? kManySituations : kSituations;
  for (int number = 0; number < situations; ++number) {
    agreement.Try(number);
    if (testing::Test::HasFailure()) return;
  }
  // The dice leaves nothing out.
  static constexpr std::pair<const char*, int> kLeast[] = {
      {"served", 150},
      {"refused by route", 20},
      {"refused by auth", 60},
      {"refused by rate-limit", 30},
      {"sent", 120},
      {"refused by account-select", 30},
      {"sticky kept", 10},
      {"sticky moved", 3},
      {"sticky new", 50},
      {"sticky none", 50},
      {"chosen", 120},
      {"guess", 10},
      {"load", 1},
      {"priority", 40},
      {"recent", 8},
      {"session", 3},
      {"barred bound", 15},
      {"barred busy", 10},
      {"barred client", 40},
      {"barred expired", 3},
      {"barred limited", 3},
      {"barred model", 15},
      {"barred tag", 3},
      {"barred paused", 10},
      {"barred refused", 10},
      {"then", 20},
      {"cache lost", 3},
      {"rate-limit waits", 1},
      {"account-select waits", 1},
  };
  EXPECT_GE(agreement.told, 100);
  for (const auto& [what, least] : kLeast) EXPECT_GE(agreement.counts[what], least) << what;
}

}  // namespace
}  // namespace relay
