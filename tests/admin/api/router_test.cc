// SPDX-License-Identifier: MIT
#include "admin/api/router.h"

#include <gtest/gtest.h>

namespace relay {
namespace {

Reply Take(Task<Reply> task) {
  EXPECT_TRUE(task.await_ready());
  return task.await_resume();
}

class RouterTest : public testing::Test {
 protected:
  RouterTest() {
    Say("GET", "/admin/v1/keys", "list");
    Say("POST", "/admin/v1/keys", "make");
    Say("GET", "/admin/v1/keys/{name}", "show");
    Say("POST", "/admin/v1/keys/{name}/disable", "disable");
    Say("GET", "/admin/v1/accounts/{cluster}/{name}", "account");
  }
  void Say(const char* method, const char* pattern, const char* word) {
    router_.Add(method, pattern, [word](ApiRequest& request) -> Task<Reply> {
      std::string text = word;
      for (const std::string& name : request.names) text += " " + name;
      return Reply{.body = text};
    });
  }
  Reply Ask(const char* method, const char* path) {
    ApiRequest request{method, path, "", ""};
    return Take(router_.Answer(request));
  }

  ApiRouter router_;
};

TEST_F(RouterTest, FindsWhatFitsMethodAndPath) {
  EXPECT_EQ(Ask("GET", "/admin/v1/keys").body, "list");
  EXPECT_EQ(Ask("POST", "/admin/v1/keys").body, "make");
  EXPECT_EQ(Ask("GET", "/admin/v1/keys/alice").body, "show alice");
  EXPECT_EQ(Ask("POST", "/admin/v1/keys/alice/disable").body, "disable alice");
  EXPECT_EQ(Ask("GET", "/admin/v1/accounts/claude/team-api").body, "account claude team-api");
  EXPECT_EQ(Ask("HEAD", "/admin/v1/keys").body, "list");
}

TEST_F(RouterTest, DecodesNamesAndRefusesWhatCannotBe) {
  EXPECT_EQ(Ask("GET", "/admin/v1/keys/a%2Fb%20c").body, "show a/b c");
  EXPECT_EQ(Ask("GET", "/admin/v1/keys/a%2").status, 404);
  EXPECT_EQ(Ask("GET", "/admin/v1/keys/a%zz").status, 404);
  EXPECT_EQ(Ask("GET", "/admin/v1/keys/").status, 404);
  EXPECT_EQ(Ask("GET", "/admin/v1/keys/alice/").status, 404);
}

TEST_F(RouterTest, TellsNothingThereFromAnotherMethod) {
  Reply missing = Ask("GET", "/admin/v1/keyz");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.body, R"({"error":{"message":"there is nothing at '/admin/v1/keyz'"}})");
  Reply wrong = Ask("DELETE", "/admin/v1/keys");
  EXPECT_EQ(wrong.status, 405);
  ASSERT_EQ(wrong.headers.size(), 1U);
  EXPECT_EQ(wrong.headers[0].second, "GET, POST");
}

TEST(ApiRequest, ReadsItsQuery) {
  ApiRequest request{"GET", "/", "by=model&empty=&flag&text=a%20b%26&by=key", ""};
  EXPECT_EQ(request.Query("by"), "model");
  EXPECT_EQ(request.Query("text"), "a b&");
  EXPECT_EQ(request.Query("empty"), "");
  EXPECT_EQ(request.Query("flag"), "");
  EXPECT_EQ(request.Query("none"), "");
}

}  // namespace
}  // namespace relay
