// SPDX-License-Identifier: MIT
#include "core/base/jitter.h"

#include <random>

namespace relay {

Duration RandomPart(Duration time) {
  thread_local std::minstd_rand random(std::random_device{}());
  std::uniform_real_distribution<double> part(0, 1);
  return std::chrono::duration_cast<Duration>(time * part(random));
}

Duration Jittered(Duration time) {
  return time * 3 / 4 + RandomPart(time / 2);
}

}  // namespace relay
