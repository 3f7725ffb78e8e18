// SPDX-License-Identifier: MIT
#include "core/config/patch.h"

#include <gtest/gtest.h>

#include <string_view>

#include "core/config/root.h"

namespace relay {
namespace {

Result<KeyTerms> Patched(const KeyTerms& terms, std::string_view json) {
  auto patch = JsonIndex::Parse(json);
  EXPECT_TRUE(patch);
  return PatchStruct(terms, *patch);
}

TEST(PatchStruct, ChangesWhatItNamesAndLeavesTheRest) {
  KeyTerms terms;
  terms.services = {ProviderKind::kClaude};
  terms.limits.concurrency = 4;
  terms.limits.cost_per_day = 2.5;
  terms.models.deny = {"claude-opus-*"};
  auto patched = Patched(terms, R"({"limits":{"concurrency":null,"requests-per-minute":7},
                                    "services":["gemini"]})");
  ASSERT_TRUE(patched) << patched.error().what;
  EXPECT_EQ(WriteStruct(*patched),
            R"({"services":["gemini"],"limits":{"requests-per-minute":7,"cost-per-day":2.5},)"
            R"("models":{"deny":["claude-opus-*"]}})");
  EXPECT_EQ(WriteStruct(*Patched(terms, R"({"limits":null,"models":{"deny":null},
                                            "services":null})")),
            "{}");
  EXPECT_EQ(WriteStruct(*Patched(terms, "{}")), WriteStruct(terms));
}

TEST(PatchStruct, SaysAllThatIsWrong) {
  auto patched = Patched({}, R"({"limits":{"concurrency":0},"modles":{}})");
  ASSERT_FALSE(patched);
  EXPECT_EQ(patched.error().party, Party::kClient);
  EXPECT_NE(patched.error().what.find("'concurrency' must be"), std::string::npos);
  EXPECT_NE(patched.error().what.find("did you mean 'models'?"), std::string::npos);
}

}  // namespace
}  // namespace relay
