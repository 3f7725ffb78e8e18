// SPDX-License-Identifier: MIT
#include "core/store/minute_window.h"

#include <algorithm>

namespace relay {
namespace {

int64_t SecondOf(TimePoint now) {
  return std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
}

}  // namespace

void MinuteWindow::Advance(TimePoint now) {
  int64_t second = SecondOf(now);
  if (second <= second_) return;
  int64_t steps = std::min(second - second_, kBuckets);
  for (int64_t i = 0; i < steps; ++i) {
    int64_t& bucket = amounts_[static_cast<size_t>((second - i) % kBuckets)];
    sum_ -= bucket;
    bucket = 0;
  }
  second_ = second;
}

int64_t MinuteWindow::Count(TimePoint now) {
  Advance(now);
  return sum_;
}

void MinuteWindow::Add(TimePoint now, int64_t amount) {
  Advance(now);
  amounts_[static_cast<size_t>(second_ % kBuckets)] += amount;
  sum_ += amount;
}

void MinuteWindow::AddPast(TimePoint when, int64_t amount, TimePoint now) {
  Advance(now);
  int64_t second = std::clamp<int64_t>(SecondOf(when), 0, second_);
  if (second <= second_ - kBuckets) return;
  amounts_[static_cast<size_t>(second % kBuckets)] += amount;
  sum_ += amount;
}

std::vector<MinuteWindow::Bucket> MinuteWindow::Buckets() const {
  std::vector<Bucket> buckets;
  for (int64_t second = std::max<int64_t>(second_ - kBuckets + 1, 0); second <= second_; ++second) {
    int64_t amount = amounts_[static_cast<size_t>(second % kBuckets)];
    if (amount != 0) buckets.push_back({TimePoint(std::chrono::seconds(second)), amount});
  }
  return buckets;
}

Duration MinuteWindow::Until(int64_t limit, TimePoint now) {
  Advance(now);
  int64_t left = sum_;
  for (int64_t second = second_ - kBuckets + 1; left >= limit && second <= second_; ++second) {
    if (second < 0) continue;
    left -= amounts_[static_cast<size_t>(second % kBuckets)];
    // The bucket leaves when the second kBuckets after its own begins.
    if (left < limit) return TimePoint(std::chrono::seconds(second + kBuckets)) - now;
  }
  return Duration::zero();
}

}  // namespace relay
