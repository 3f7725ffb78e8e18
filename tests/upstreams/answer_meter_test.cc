// SPDX-License-Identifier: MIT
#include "upstreams/answer_meter.h"

#include <gtest/gtest.h>

#include "tests/upstreams/meter_fixture.h"

namespace relay {
namespace {

using AnswerMeterTest = MeterTest;

TEST_F(AnswerMeterTest, AWholeAnswerThatSaysNothingUsesNothing) {
  for (std::string_view text :
       {"", "<html>Bad gateway</html>", "{}", "[]", "data: {}\n\n", "{\"usage\":7}"}) {
    Begin(MakeClaudeMeter);
    Feed(text);
    EXPECT_EQ(meter_->Finish(true).total(), 0) << text;
    Begin(MakeGeminiMeter);
    Feed(text);
    EXPECT_EQ(meter_->Finish(true).total(), 0) << text;
  }
}

TEST_F(AnswerMeterTest, GarbageDisturbsNothing) {
  for (std::string_view text :
       {"data: {\"usage\":{\"input_tokens\":1}\n\n", "data: {{{{\n\n", "\xff\xfe\n\n",
        "[{\"usageMetadata\":{]",
        "data: {\"usageMetadata\":{\"promptTokenCount\":1,\"promptTokenCount\":2}}\n\n",
        "{\"usage\":{\"input_tokens\":99999999999999999999}}"}) {
    for (const Maker& make : {Maker(MakeClaudeMeter), Maker(MakeGeminiMeter)}) {
      Begin(make);
      Feed(text, 1);
      meter_->Finish(true);
      EXPECT_TRUE(meter_->Finish(false).estimated || meter_->seen()) << text;
    }
  }
}

}  // namespace
}  // namespace relay
