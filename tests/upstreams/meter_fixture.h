// SPDX-License-Identifier: MIT
// Feeds answers to meters, for the tests of each vendor's.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "upstreams/usage.h"

namespace relay {

constexpr int64_t kRequestBytes = 4000;
using Maker = std::function<std::unique_ptr<UsageMeter>(MeterSeed)>;

class MeterTest : public ::testing::Test {
 protected:
  void Begin(const Maker& make, AnswerInfo head = {200, "text/event-stream", ""},
             int64_t candidates = 1) {
    meter_ = make({"asked", kRequestBytes, true, candidates});
    meter_->OnHead(head);
  }
  // In pieces that are gone afterwards.
  void Feed(std::string_view text, size_t size = SIZE_MAX) {
    while (!text.empty()) {
      std::string_view piece = text.substr(0, size);
      std::vector<char> exact(piece.begin(), piece.end());
      meter_->OnBytes({exact.data(), exact.size()});
      text.remove_prefix(piece.size());
    }
  }
  std::unique_ptr<UsageMeter> meter_;
};

}  // namespace relay
