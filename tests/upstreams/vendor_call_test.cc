// SPDX-License-Identifier: MIT
#include "upstreams/vendor_call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/upstreams/vendor.h"
#include "upstreams/code_assist_project.h"

namespace relay {
namespace {

using ::testing::HasSubstr;

// Calls a scripted vendor on a loop that the test turns.
class VendorCallTest : public ::testing::Test {
 protected:
  ~VendorCallTest() override { Settle(); }
  void Settle() {
    for (int i = 0; i < 40; ++i) loop.Turn();
  }
  Url At(std::string path) const {
    Url url = *ParseUrl("http://127.0.0.1:" + std::to_string(vendor.port()));
    url.path = std::move(path);
    return url;
  }
  // Begins a task; what it comes to is put into `to`.
  template <class T>
  void Begin(Task<Result<T>> task, std::optional<Result<T>>& to) {
    auto story = [](Task<Result<T>> inner, std::optional<Result<T>>& result) -> Task<Unit> {
      result = co_await std::move(inner);
      co_return Unit{};
    };
    root = story(std::move(task), to);
    root.Start([](void*) noexcept {}, nullptr);
    Settle();
  }

  ManualClock clock;
  Loop loop{clock};
  Resolver resolver{loop};
  Vendor vendor{loop};
  VendorCalls calls{loop, resolver, nullptr};
  Task<Unit> root;
};

TEST_F(VendorCallTest, AsksAsItselfAndGivesTheWholeAnswer) {
  vendor.Answer("secret", Json(418, R"({"a":1})", {"retry-after: 3"}));
  VendorRequest request;
  request.url = At("/token");
  request.query = "a=b";
  request.method = "POST";
  request.fields.emplace_back("authorization", "Bearer secret");
  request.body = "hello";
  std::optional<Result<VendorAnswer>> answer;
  Begin(calls.Call(std::move(request), {}, loop.Now() + std::chrono::seconds(5)), answer);
  ASSERT_TRUE(answer && *answer);
  EXPECT_EQ((*answer)->status, 418);
  EXPECT_EQ((*answer)->body, R"({"a":1})");
  EXPECT_EQ((*answer)->head.Get("retry-after"), "3");
  ASSERT_EQ(vendor.requests.size(), 1U);
  EXPECT_EQ(vendor.requests[0].line(), "POST /token?a=b HTTP/1.1");
  EXPECT_EQ(vendor.requests[0].body, "hello");
  EXPECT_THAT(vendor.requests[0].Field("user-agent"), HasSubstr("relay/"));
  Settle();
  EXPECT_EQ(vendor.open(), 0);
}

TEST_F(VendorCallTest, EndsAtItsDeadline) {
  vendor.otherwise = Silence();
  VendorRequest request;
  request.url = At("/");
  std::optional<Result<VendorAnswer>> answer;
  Begin(calls.Call(std::move(request), {}, loop.Now() + std::chrono::seconds(5)), answer);
  EXPECT_FALSE(answer);
  clock.Advance(std::chrono::seconds(6));
  Settle();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->error().fault, Fault::kTimeout);
}

TEST_F(VendorCallTest, TakesNoEndlessAnswer) {
  vendor.otherwise = {"HTTP/1.1 200 OK\r\n\r\n" + std::string(VendorCalls::kMostBytes + 1, 'x')};
  VendorRequest request;
  request.url = At("/");
  std::optional<Result<VendorAnswer>> answer;
  Begin(calls.Call(std::move(request), {}, loop.Now() + std::chrono::seconds(5)), answer);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->error().fault, Fault::kBodyTooLarge);
}

TEST_F(VendorCallTest, IsCancelledByItsOwnersDeath) {
  vendor.otherwise = Silence();
  VendorRequest request;
  request.url = At("/");
  std::optional<Result<VendorAnswer>> answer;
  Begin(calls.Call(std::move(request), {}, loop.Now() + std::chrono::seconds(5)), answer);
  EXPECT_EQ(vendor.open(), 1);
  root = Task<Unit>();
  Settle();
  EXPECT_EQ(vendor.open(), 0);
  EXPECT_FALSE(answer);
}

// A call goes as its account's requests go, or not at all: the scripted vendor plays the proxy too.
class VendorCallWayTest : public VendorCallTest {
 protected:
  ProxyUrl ByVendor(std::string_view login = "") const {
    return *ParseProxyUrl("http://" + std::string(login) +
                          "127.0.0.1:" + std::to_string(vendor.port()));
  }
  void Call(Url url, WayOut way) {
    answer.reset();
    VendorRequest request;
    request.url = std::move(url);
    Begin(calls.Call(std::move(request), std::move(way), loop.Now() + std::chrono::seconds(5)),
          answer);
    ASSERT_TRUE(answer);
  }
  std::optional<Result<VendorAnswer>> answer;
};

TEST_F(VendorCallWayTest, GoesByTheProxy) {
  vendor.Answer("", {"HTTP/1.1 200 OK\r\n\r\n"});
  vendor.Answer("", Json(200, "{}"));
  Call(*ParseUrl("http://vendor.test/token"), {.proxy = ByVendor("u:p@")});
  ASSERT_TRUE(*answer) << answer->error().what;
  ASSERT_EQ(vendor.requests.size(), 2U);
  EXPECT_EQ(vendor.requests[0].line(), "CONNECT vendor.test:80 HTTP/1.1");
  EXPECT_EQ(vendor.requests[0].Field("proxy-authorization"), "Basic dTpw");
  EXPECT_EQ(vendor.requests[1].line(), "GET /token HTTP/1.1");
  EXPECT_EQ(vendor.requests[1].Field("host"), "vendor.test");
}

TEST_F(VendorCallWayTest, ADeadProxyIsNotPassedBy) {
  Call(At("/token"), {.proxy = *ParseProxyUrl("socks5://u:s3cret@127.0.0.1:1")});
  ASSERT_FALSE(*answer);
  EXPECT_EQ(answer->error().fault, Fault::kProxy);
  EXPECT_THAT(answer->error().what, HasSubstr("the proxy socks5://127.0.0.1:1 fails"));
  EXPECT_EQ(vendor.accepted, 0);
}

TEST_F(VendorCallWayTest, R58_GoesToTheOpenInternetOnlyWhereItMust) {
  Call(At("/"), {.proxy = {}, .public_only = true});
  ASSERT_FALSE(*answer);
  EXPECT_THAT(answer->error().what, HasSubstr("is not https"));
  Call({true, "127.0.0.1", vendor.port(), "/"}, {.proxy = {}, .public_only = true});
  EXPECT_FALSE(*answer);
  Call(At("/"), {.proxy = ByVendor(), .public_proxy_only = true});
  EXPECT_FALSE(*answer);
  EXPECT_EQ(vendor.accepted, 0);
}

class DiscoverTest : public VendorCallTest {
 protected:
  void Discover(std::string wanted = "") {
    Begin(DiscoverProject(calls, {At(""), way}, Secret("ya29.a"), std::move(wanted),
                          loop.Now() + std::chrono::seconds(60)),
          project);
  }
  void Answer(int status, std::string_view body) { vendor.Answer("ya29.a", Json(status, body)); }
  std::vector<std::string> asked() const {
    std::vector<std::string> lines;
    for (const SeenRequest& seen : vendor.requests) {
      lines.push_back(seen.line().substr(0, seen.line().rfind(' ')));
    }
    return lines;
  }
  WayOut way;
  std::optional<Result<std::string>> project;
};

TEST_F(DiscoverTest, TakesTheProjectOfAUserThatIsKnown) {
  Answer(200, R"({"currentTier":{"id":"free-tier"},"cloudaicompanionProject":"found"})");
  Discover();
  ASSERT_TRUE(project && *project);
  EXPECT_EQ(**project, "found");
  EXPECT_EQ(vendor.requests[0].body,
            R"({"metadata":{"ideType":"IDE_UNSPECIFIED","platform":"PLATFORM_UNSPECIFIED",)"
            R"("pluginType":"GEMINI"}})");
}

TEST_F(DiscoverTest, GoesByTheAccountsProxyEachTime) {
  way.proxy = *ParseProxyUrl("http://127.0.0.1:" + std::to_string(vendor.port()));
  const Scripted tunnel{"HTTP/1.1 200 OK\r\n\r\n"};
  for (int i = 0; i < 3; ++i) vendor.Answer("", tunnel);
  Answer(200, R"({"allowedTiers":[{"id":"free-tier","isDefault":true}]})");
  Answer(200, R"({"name":"operations/op-1","done":false})");
  Answer(200, R"({"done":true,"response":{"cloudaicompanionProject":{"id":"made"}}})");
  Discover();
  clock.Advance(std::chrono::seconds(5));
  Settle();
  ASSERT_TRUE(project && *project);
  std::string to = "CONNECT 127.0.0.1:" + std::to_string(vendor.port());
  EXPECT_THAT(asked(), ::testing::ElementsAre(to, "POST /v1internal:loadCodeAssist", to,
                                              "POST /v1internal:onboardUser", to,
                                              "GET /v1internal/operations/op-1"));
}

TEST_F(DiscoverTest, TakesThePersonsOwnWhereTheVendorNamesNone) {
  Answer(200, R"({"currentTier":{"id":"standard-tier"}})");
  Discover("my-own");
  EXPECT_EQ(**project, "my-own");
  EXPECT_THAT(vendor.requests[0].body, HasSubstr(R"("cloudaicompanionProject":"my-own")"));
  EXPECT_THAT(vendor.requests[0].body, HasSubstr(R"("duetProject":"my-own")"));
}

TEST_F(DiscoverTest, OnboardsANewcomerAndFollowsTheOperation) {
  Answer(200, R"({"allowedTiers":[{"id":"other"},{"id":"free-tier","isDefault":true}]})");
  Answer(200, R"({"name":"operations/op-1","done":false})");
  Answer(200, R"({"name":"operations/op-1","done":false})");
  Answer(200, R"({"done":true,"response":{"cloudaicompanionProject":{"id":"made"}}})");
  Discover("my-own");
  EXPECT_FALSE(project);
  for (int i = 0; i < 2; ++i) {
    clock.Advance(std::chrono::seconds(5));
    Settle();
  }
  ASSERT_TRUE(project && *project);
  EXPECT_EQ(**project, "made");
  EXPECT_THAT(asked(), ::testing::ElementsAre(
                           "POST /v1internal:loadCodeAssist", "POST /v1internal:onboardUser",
                           "GET /v1internal/operations/op-1", "GET /v1internal/operations/op-1"));
  // The free tier's project is the vendor's.
  EXPECT_THAT(vendor.requests[1].body,
              ::testing::StartsWith(R"({"tierId":"free-tier","metadata")"));
}

TEST_F(DiscoverTest, SaysWhenAPersonMustNameAProject) {
  Answer(200, R"({"currentTier":{"id":"standard-tier"}})");
  Discover();
  ASSERT_TRUE(project);
  EXPECT_EQ(project->error().party, Party::kClient);
  EXPECT_THAT(project->error().what, HasSubstr("--project"));
}

TEST_F(DiscoverTest, SaysWhyTheVendorWillNot) {
  Answer(200, R"({"ineligibleTiers":[{"reasonMessage":"Not\nthere."},{}]})");
  Discover();
  EXPECT_THAT(project->error().what, HasSubstr("Not there."));
}

TEST_F(DiscoverTest, FollowsNoOperationElsewhere) {
  for (const char* name : {"", "../x", "operations/../x", "operations/a?b", "https://evil/"}) {
    Answer(200, R"({"allowedTiers":[{"id":"free-tier","isDefault":true}]})");
    Answer(200, R"({"done":false,"name":")" + std::string(name) + R"("})");
    Discover();
    ASSERT_TRUE(project) << name;
    EXPECT_THAT(project->error().what, HasSubstr("began nothing")) << name;
  }
}

TEST_F(DiscoverTest, GivesUpBeforeItsDeadline) {
  Answer(200, R"({"allowedTiers":[{"id":"free-tier","isDefault":true}]})");
  vendor.otherwise = Json(200, R"({"name":"operations/op-1","done":false})");
  Discover();
  for (int i = 0; i < 12; ++i) {
    clock.Advance(std::chrono::seconds(5));
    Settle();
  }
  ASSERT_TRUE(project);
  EXPECT_EQ(project->error().fault, Fault::kTimeout);
}

TEST_F(DiscoverTest, PassesTheVendorsRefusalOn) {
  Answer(403, R"({"error":{"code":403,"message":"SERVICE_DISABLED"}})");
  Discover();
  EXPECT_THAT(project->error().what, HasSubstr("loadCodeAssist answers 403: SERVICE_DISABLED"));
}

}  // namespace
}  // namespace relay
