// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/upstreams/cluster_world.h"
#include "upstreams/provider.h"

namespace relay {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Claude, RecognisesItsCalls) {
  auto claude = MakeClaude();
  struct Row {
    const char* method;
    const char* path;
    Operation operation;
  };
  for (const Row& row : {Row{"POST", "/v1/messages", Operation::kGenerate},
                         Row{"POST", "/messages", Operation::kGenerate},
                         Row{"POST", "/v1/messages/count_tokens", Operation::kCount},
                         Row{"POST", "/messages/count_tokens", Operation::kCount},
                         Row{"GET", "/v1/models", Operation::kModels},
                         Row{"GET", "/v1/models/claude-opus-5-5", Operation::kModels}}) {
    SCOPED_TRACE(row.path);
    std::optional<Ask> ask = claude->Recognise(row.method, row.path);
    ASSERT_TRUE(ask.has_value());
    EXPECT_EQ(ask->operation, row.operation);
    EXPECT_TRUE(ask->metered);
  }
  for (const auto& [method, path] :
       std::vector<std::pair<std::string, std::string>>{{"GET", "/v1/messages"},
                                                        {"PUT", "/v1/messages"},
                                                        {"POST", "/v1/messages/"},
                                                        {"POST", "/v1/messages/batches"},
                                                        {"POST", "/v1/message"},
                                                        {"POST", "/v2/messages"},
                                                        {"POST", "/x/v1/messages/count_tokens"},
                                                        {"POST", "/v1/models"},
                                                        {"GET", "/v1/models/"},
                                                        {"GET", "/v1/models/a/b"},
                                                        {"POST", "/v1/files"},
                                                        {"GET", "/"}}) {
    SCOPED_TRACE(path);
    EXPECT_FALSE(claude->Recognise(method, path).has_value());
  }
}

TEST(Claude, ReadsModelStreamAndSession) {
  struct Row {
    const char* name;
    std::vector<std::string> fields;
    std::string body;
    std::string session;
  };
  const std::string user = R"("metadata":{"user_id":"{\"session_id\":\"in-the-body\"}"})";
  for (const Row& row : {
           Row{"header",
               {"X-Claude-Code-Session-Id: in-the-head"},
               "{" + user + "}",
               "in-the-head"},
           Row{"body", {}, "{" + user + "}", "in-the-body"},
           Row{"neither", {}, "{}", ""},
           Row{"old form", {}, R"({"metadata":{"user_id":"user_a_account__session_b"}})", ""},
           Row{"metadata of another kind", {}, R"({"metadata":[1]})", ""},
       }) {
    SCOPED_TRACE(row.name);
    ClusterWorld world({KeyAccount("a", "sk-a")});
    Ask seen;
    world.filter->on_read = [&](Exchange& x) { seen = x.ask; };
    world.Ask("POST /v1/messages", row.body, row.fields);
    EXPECT_EQ(seen.session, row.session);
  }
  ClusterWorld world({KeyAccount("a", "sk-a")});
  std::vector<Ask> seen;
  world.filter->on_read = [&](Exchange& x) { seen.push_back(x.ask); };
  auto talk = [&](const std::string& system, const std::string& first, const std::string& more) {
    world.Ask("POST /v1/messages",
              R"({"model":"claude-x","max_tokens":77,"stream":true,"system":")" + system +
                  R"(","messages":["x)" + first + "\"" + more + "]}");
  };
  talk("s", "hi", "");
  talk("s", "hi", ",1,2");
  talk("s", "ho", "");
  talk("t", "hi", "");
  ASSERT_EQ(seen.size(), 4U);
  EXPECT_EQ(seen[0].model, "claude-x");
  EXPECT_EQ(seen[0].max_tokens, 77);
  EXPECT_TRUE(seen[0].streams);
  EXPECT_THAT(seen[0].session, testing::StartsWith("prefix-"));
  // A conversation that goes on is the same; others are not.
  EXPECT_EQ(seen[1].session, seen[0].session);
  EXPECT_NE(seen[2].session, seen[0].session);
  EXPECT_NE(seen[3].session, seen[0].session);
}

TEST(Claude, PutsAnAliasRight) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.Ask("POST /messages?beta=true", "{}");
  world.Ask("POST /messages/count_tokens", "{}");
  world.filter->on_read = [](Exchange& x) { x.sent_path = "/proxy" + x.sent_path; };
  world.Ask("POST /messages", "{}");
  ASSERT_EQ(world.vendor.requests.size(), 3U);
  EXPECT_EQ(world.vendor.requests[0].line(), "POST /v1/messages?beta=true HTTP/1.1");
  EXPECT_EQ(world.vendor.requests[1].line(), "POST /v1/messages/count_tokens HTTP/1.1");
  EXPECT_EQ(world.vendor.requests[2].line(), "POST /proxy/v1/messages HTTP/1.1");
}

TEST(Claude, SendsTheBodyAndUnknownHeadersAsTheyCame) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  std::string body =
      "{ \"model\" : \"m\",\n \"new_field\":[1.0e5, \"\\u00e9 é\"],\"stream\":false }\n";
  world.Ask("POST /v1/messages?beta=true&x=%20", body,
            {"anthropic-version: 2026-10-21", "X-Stainless-Lang: js", "x-new: 1", "X-New: 2",
             "anthropic-beta: a", "anthropic-beta: b"});
  ASSERT_EQ(world.vendor.requests.size(), 1U);
  const SeenRequest& seen = world.vendor.requests[0];
  EXPECT_EQ(seen.line(), "POST /v1/messages?beta=true&x=%20 HTTP/1.1");
  EXPECT_EQ(seen.body, body);
  EXPECT_THAT(seen.head, HasSubstr("anthropic-version: 2026-10-21\r\nX-Stainless-Lang: js\r\n"
                                   "x-new: 1\r\nX-New: 2\r\nanthropic-beta: a\r\n"
                                   "anthropic-beta: b\r\n"));
  EXPECT_EQ(seen.Field("x-api-key"), "sk-a");
}

TEST(Claude, R1PassesTheQueryByteByByteButForAKey) {
  struct Row {
    std::string_view came;
    std::string_view sent;
  };
  for (const Row& row :
       {Row{"?a&&b=%20c&=d&?e&", "?a&&b=%20c&=d&?e&"}, Row{"?", "?"}, Row{"?&", "?&"},
        Row{"?key=x", ""}, Row{"?key", ""}, Row{"?a&key=x&&b", "?a&&b"}, Row{"?key=x&&b", "?&b"},
        Row{"?a&key=x&key=y", "?a"}, Row{"?keys=x&a=key", "?keys=x&a=key"}}) {
    SCOPED_TRACE(row.came);
    ClusterWorld world({KeyAccount("a", "sk-a")});
    world.Ask("POST /v1/messages" + std::string(row.came), "{}");
    ASSERT_EQ(world.vendor.requests.size(), 1U);
    EXPECT_EQ(world.vendor.requests[0].line(),
              "POST /v1/messages" + std::string(row.sent) + " HTTP/1.1");
  }
}

TEST(Claude, SendsNothingThatEndsHere) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.Ask("POST /v1/messages?key=cr_secret&beta=true", "{}",
            {"x-api-key: cr_secret", "authorization: Bearer cr_secret", "api-key: cr_secret",
             "x-goog-api-key: cr_secret", "cookie: a=cr_secret", "proxy-authorization: cr_secret",
             "forwarded: for=cr_secret", "x-forwarded-for: cr_secret", "X-Real-IP: cr_secret",
             "via: cr_secret", "cf-ray: cr_secret", "x-relay-test: cr_secret",
             "x-ip-token: cr_secret", "keep-alive: cr_secret", "te: trailers", "x-hop: cr_secret",
             "connection: keep-alive, x-hop", "accept-encoding: gzip, br"});
  ASSERT_EQ(world.vendor.requests.size(), 1U);
  const SeenRequest& seen = world.vendor.requests[0];
  EXPECT_THAT(seen.head, Not(HasSubstr("cr_secret")));
  EXPECT_THAT(seen.head, Not(HasSubstr("trailers")));
  EXPECT_EQ(seen.line(), "POST /v1/messages?beta=true HTTP/1.1");
  EXPECT_EQ(seen.Field("accept-encoding"), "identity");
  EXPECT_EQ(seen.Field("host"), "127.0.0.1:" + std::to_string(world.vendor.port()));
  EXPECT_EQ(seen.Field("content-length"), "2");
}

TEST(Claude, AsksForTheOauthBetaOnce) {
  struct Row {
    std::vector<std::string> fields;
    std::string expected;
  };
  for (const Row& row :
       {Row{{}, "anthropic-beta: oauth-2025-04-20"},
        Row{{"anthropic-beta: a,b"}, "anthropic-beta: a,b,oauth-2025-04-20"},
        Row{{"anthropic-beta: a", "anthropic-beta: b"},
            "anthropic-beta: a\r\nanthropic-beta: b,oauth-2025-04-20"},
        Row{{"anthropic-beta: oauth-2025-04-20, b"}, "anthropic-beta: oauth-2025-04-20, b"},
        Row{{"anthropic-beta:"}, "anthropic-beta: oauth-2025-04-20"}}) {
    SCOPED_TRACE(row.expected);
    ClusterWorld world({LoginAccount("max", "sk-ant-oat01-x")});
    std::vector<std::string> fields = row.fields;
    fields.emplace_back("user-agent: claude-cli/2.1.330 (external, cli)");
    world.Ask("POST /v1/messages", "{}", fields);
    ASSERT_EQ(world.vendor.requests.size(), 1U);
    EXPECT_THAT(world.vendor.requests[0].head, HasSubstr(row.expected + "\r\n"));
    EXPECT_EQ(world.vendor.requests[0].credential(), "sk-ant-oat01-x");
  }
}

TEST(Claude, UsesTheEndpointsOwnPath) {
  ClusterWorld world({KeyAccount("a", "sk-a")}, ProviderKind::kClaude,
                     [](ClusterConfig& config) { config.endpoint.path = "/v1/proxy"; });
  world.Ask("POST /v1/messages", "{}");
  ASSERT_EQ(world.vendor.requests.size(), 1U);
  EXPECT_EQ(world.vendor.requests[0].line(), "POST /v1/proxy/v1/messages HTTP/1.1");
}

TEST(Claude, AppliesTheChainsEdits) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.filter->on_read = [](Exchange& x) { x.edits.Set(x.json, "model", "\"other\""); };
  world.Ask("POST /v1/messages", R"({"model":"m", "messages":[]})");
  ASSERT_EQ(world.vendor.requests.size(), 1U);
  EXPECT_EQ(world.vendor.requests[0].body, R"({"model":"other", "messages":[]})");
}

}  // namespace
}  // namespace relay
