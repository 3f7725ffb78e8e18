// SPDX-License-Identifier: MIT
// What is explained of an account whose login gives no token.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "admin/endpoints.h"
#include "admin/explain.h"
#include "admin/rehearsal.h"
#include "tests/admin/fixture.h"
#include "upstreams/token_keeper.h"

namespace relay {
namespace {

using namespace std::chrono_literals;

// A relay with one login, whose refresh token is not there, before the accounts that are given.
class World {
 public:
  explicit World(const std::string& cluster) {
    auto config = ConfigOf(R"(listeners: [{address: "127.0.0.1:0"}]
keys: [{name: alice, key: cr_rehearsed-logins-test}]
clusters: {claude: {provider: claude, )" +
                           cluster + R"(}}
routes: [{name: r, match: {prefix: /}, cluster: claude, filters: [auth: {service: claude}, account-select: {}]}]
)");
    auto made = Services::Make(config, clock_, uint64_t{1} << 30);
    EXPECT_TRUE(made);
    services_ = std::move(*made);
    keeper_ = std::make_unique<TokenKeeper>(
        calls_, services_->tokens, nullptr, [] { return nullptr; }, clock_,
        TokenKeeper::Options{"run", true});
    auto stored = std::make_shared<StoredObjects>();
    StoredAccount& login = stored->accounts.emplace_back();
    login.cluster = "claude";
    login.config.name = "max";
    login.config.login = true;
    login.config.priority = 1;
    auto built = services_->Build(config, stored);
    EXPECT_TRUE(built);
    services_->Publish(*built);
    endpoints_ = std::make_unique<ProcessEndpoints>(*services_);
  }
  ~World() {
    story_ = Task<Unit>();
    keeper_.reset();
    for (int i = 0; i < 40; ++i) loop_.Turn();
  }
  // Somebody wants a token, and there is none to be had. No request was told that by the pool.
  void LetTheLoginFail() {
    auto ask = [](std::shared_ptr<TokenSource> source, Loop& loop) -> Task<Unit> {
      TokenSource::Taken taken = co_await source->Take(loop, loop.Now() + 20s);
      EXPECT_FALSE(taken);
      co_return Unit{};
    };
    for (const auto& source : services_->tokens.All()) {
      story_ = ask(source, loop_);
      story_.Start([](void*) noexcept {}, nullptr);
      for (int i = 0; i < 40; ++i) loop_.Turn();
      EXPECT_TRUE(source->Look().none);
    }
  }
  void Wait(Duration time) { clock_.Advance(time); }
  std::string Explain() {
    RehearsedRequest request;
    request.target = "/v1/messages";
    request.key = "alice";
    request.headers = {{"user-agent", "claude-cli/2.1"}};
    request.body = R"({"model":"claude-opus-5-5","max_tokens":5,"messages":[]})";
    Explanation explanation(request.key);
    Result<Unit> done = Rehearse(*services_, *endpoints_, request, explanation);
    EXPECT_TRUE(done) << done.error().what;
    return ExplanationText(explanation.Json()).value_or("");
  }

 private:
  ManualClock clock_;
  Loop loop_{clock_};
  Resolver resolver_{loop_};
  VendorCalls calls_{loop_, resolver_, nullptr};
  std::unique_ptr<Services> services_;
  std::unique_ptr<TokenKeeper> keeper_;
  std::unique_ptr<ProcessEndpoints> endpoints_;
  Task<Unit> story_;
};

bool Has(const std::string& text, std::string_view what) {
  return text.find(what) != std::string::npos;
}

TEST(RehearsedLogins, AnotherAccountTakesThePlaceOfOneWhoseLoginIsRefused) {
  World world("accounts: [{name: spare, api-key: sk-ant-spare, priority: 9}]");
  std::string before = world.Explain();
  EXPECT_TRUE(before.starts_with("served by claude/max")) << before;
  EXPECT_TRUE(Has(before, "its token is renewed first")) << before;
  world.LetTheLoginFail();
  std::string text = world.Explain();
  EXPECT_TRUE(text.starts_with("served by claude/spare")) << text;
  EXPECT_TRUE(Has(text, "the login of max is refused: there is no refresh token")) << text;
  EXPECT_TRUE(Has(text, "spare is tried in its place")) << text;
  EXPECT_TRUE(Has(text, "x-api-key: ***")) << text;
}

TEST(RehearsedLogins, WhereNoOtherServesTheRequestIsRefused) {
  World world("accounts: [{name: spare, api-key: sk-ant-spare, models: [claude-haiku-*]}]");
  world.LetTheLoginFail();
  std::string text = world.Explain();
  EXPECT_TRUE(text.starts_with("refused by upstream with 503")) << text;
  EXPECT_TRUE(Has(text, "no credential of cluster 'claude' is accepted")) << text;
  EXPECT_TRUE(Has(text, "no other account can serve")) << text;
  // When it may be asked again it is, and nobody knows what comes of it.
  world.Wait(11min);
  EXPECT_TRUE(world.Explain().starts_with("served by claude/max")) << world.Explain();
}

TEST(RehearsedLogins, AClusterThatTriesNoOtherRefuses) {
  World world(
      "failover: {attempts: 1}, accounts: [{name: spare, api-key: sk-ant-spare, priority: 9}]");
  world.LetTheLoginFail();
  std::string text = world.Explain();
  EXPECT_TRUE(text.starts_with("refused by upstream with 503")) << text;
  EXPECT_TRUE(Has(text, "no other is tried, by failover")) << text;
}

}  // namespace
}  // namespace relay
