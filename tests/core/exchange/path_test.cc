// SPDX-License-Identifier: MIT
#include "core/exchange/path.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string_view>

#include "core/exchange/chain.h"

namespace relay {
namespace {

TEST(NormalisePath, KeepsWhatIsPlainAndCollapsesSlashes) {
  const std::pair<const char*, const char*> rows[] = {
      {"/", "/"},
      {"//", "/"},
      {"/api/v1/messages", "/api/v1/messages"},
      {"/gemini//v1internal:loadCodeAssist", "/gemini/v1internal:loadCodeAssist"},
      {"///api///v1/", "/api/v1/"},
      {"/a.b/..c/.../d.", "/a.b/..c/.../d."},
      {"/v1/models/a%20b", "/v1/models/a%20b"},
      {"/%C3%A4", "/%C3%A4"},
      {"/100%25", "/100%25"},
      {"/a%2541%25zz", "/a%2541%25zz"},
      {"/a:b@c!$&'()*+,;=~_-", "/a:b@c!$&'()*+,;=~_-"},
  };
  for (const auto& [given, normal] : rows) {
    Result<std::string> path = NormalisePath(given);
    ASSERT_TRUE(path) << given;
    EXPECT_EQ(*path, normal);
  }
}

TEST(NormalisePath, RefusesWhatAnotherReaderCouldReadOtherwise) {
  for (std::string_view given : std::initializer_list<std::string_view>{
           "", "api", "/.", "/..", "/a/../b", "/a/./b", "/%2e", "/%2E%2e/x", "/.%2e", "/a/%2e.",
           "/a%2fb", "/a%2Fb", "/a%5cb", "/a%5Cb", "/a\\b", "/a%00b", "/a%", "/a%4", "/a%zz",
           "/a%4g",
           // For those who decode once more.
           "/%252e%252e/x", "/%25%32%65/x", "/%25252e", "/a%252fb", "/a%255cb", "/a%2500",
           "/a%25252525252541", std::string_view("/a\0b", 4)}) {
    Result<std::string> path = NormalisePath(given);
    ASSERT_FALSE(path) << given;
    EXPECT_EQ(path.error().fault, Fault::kMalformed);
    EXPECT_EQ(path.error().party, Party::kClient);
  }
}

TEST(HasPrefix, MatchesWholeSegmentsOnly) {
  EXPECT_TRUE(HasPrefix("/api", "/api"));
  EXPECT_TRUE(HasPrefix("/api/v1", "/api"));
  EXPECT_TRUE(HasPrefix("/anything", "/"));
  EXPECT_FALSE(HasPrefix("/apis", "/api"));
  EXPECT_FALSE(HasPrefix("/ap", "/api"));
  EXPECT_FALSE(HasPrefix("/API", "/api"));
}

TEST(AfterPrefix, IsAtLeastASlash) {
  EXPECT_EQ(AfterPrefix("/api", "/api"), "/");
  EXPECT_EQ(AfterPrefix("/api/v1", "/api"), "/v1");
  EXPECT_EQ(AfterPrefix("/v1", "/"), "/v1");
  EXPECT_EQ(AfterPrefix("/v1", ""), "/v1");
}

RouteTable TwoRoutes() {
  RouteTable table;
  table.routes.resize(3);
  table.routes[0].name = "exact";
  table.routes[0].paths = {"/api/hello"};
  table.routes[1].name = "claude";
  table.routes[1].prefixes = {"/api", "/claude"};
  table.routes[2].name = "deeper";
  table.routes[2].prefixes = {"/api/deeper", "/other"};
  return table;
}

TEST(RouteTable, TheFirstMatchWins) {
  RouteTable table = TwoRoutes();
  EXPECT_EQ(table.Find("/api/hello").route->name, "exact");
  EXPECT_EQ(table.Find("/api/hello").prefix, "");
  EXPECT_EQ(table.Find("/api/deeper/x").route->name, "claude");
  EXPECT_EQ(table.Find("/claude").prefix, "/claude");
  EXPECT_EQ(table.Find("/other").route->name, "deeper");
  EXPECT_EQ(table.Find("/nothing").route, nullptr);
  EXPECT_EQ(RouteTable().Find("/api").route, nullptr);
}

}  // namespace
}  // namespace relay
