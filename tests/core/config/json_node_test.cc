// SPDX-License-Identifier: MIT
#include "core/config/json_node.h"

#include <gtest/gtest.h>

#include "core/config/root.h"

namespace relay {
namespace {

// What the binder makes of a JSON text, written again; or its complaints.
std::string Again(const std::string& json) {
  auto object = JsonIndex::Parse(json);
  if (!object) return object.error().what;
  auto node = NodeOfJson(*object, "key");
  if (!node) return node.error().what;
  Problems problems;
  KeyTerms terms;
  if (ReadStruct(*node, "", problems, terms)) return WriteStruct(terms);
  std::string lines;
  for (const std::string& line : problems.ErrorLines()) lines += line + "\n";
  return lines;
}

TEST(JsonNode, WhatIsReadIsWrittenAlike) {
  for (const char* json :
       {"{}", R"({"services":["claude","gemini"]})",
        R"({"limits":{"requests-per-minute":60,"concurrency":2,"cost-per-day":25.5}})",
        R"({"models":{"allow":["claude-*"],"deny":["claude-opus-*","x\"y"]}})",
        R"({"services":["claude"],"limits":{"tokens-per-minute":9},"models":{"deny":["a"]}})"}) {
    EXPECT_EQ(Again(json), json);
  }
}

TEST(JsonNode, ComplaintsAreThoseOfTheFile) {
  EXPECT_EQ(Again(R"({"limit":{}})"), "key: unknown key 'limit' (did you mean 'limits'?)\n");
  EXPECT_EQ(Again(R"({"limits":{"concurrency":"many"}})"),
            "key: 'concurrency' must be a whole number in 1..1000000, not 'many'\n");
  EXPECT_EQ(Again(R"({"limits":null})"), "key: 'limits' is empty; remove it or give it a value\n");
}

TEST(JsonNode, NothingIsReplacedInIt) {
  auto object = JsonIndex::Parse(R"({"a":"${HOME}","b":[true,1.50,null,{"c":"${file:x}"}]})");
  ASSERT_TRUE(object);
  auto node = NodeOfJson(*object, "x");
  ASSERT_TRUE(node);
  EXPECT_EQ(node->Find("a")->text, "${HOME}");
  EXPECT_EQ(RenderJson(*node), R"({"a":"${HOME}","b":[true,1.50,null,{"c":"${file:x}"}]})");
}

TEST(JsonNode, AFieldGivenTwiceIsRefused) {
  auto object = JsonIndex::Parse(R"({"a":{"b":1,"b":2}})");
  ASSERT_TRUE(object);
  EXPECT_FALSE(NodeOfJson(*object, "x"));
}

TEST(WriteStruct, LeavesSecretsOut) {
  KeyConfig key;
  key.services = {ProviderKind::kClaude};
  key.key = Secret("cr_planted_secret");
  EXPECT_EQ(WriteStruct(static_cast<KeyTerms&>(key)), R"({"services":["claude"]})");
  AdminConfig admin;
  admin.password = Secret("planted");
  EXPECT_EQ(WriteStruct(admin).find("planted"), std::string::npos);
}

}  // namespace
}  // namespace relay
