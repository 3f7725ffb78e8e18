// SPDX-License-Identifier: MIT
// What is said to Redis about limits that relays share, and what it answers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/zone.h"
#include "core/store/limiter.h"
#include "core/store/limiter_judge.h"
#include "core/store/redis_requests.h"
#include "core/store/shared_limits.h"

namespace relay {

// What is settled by one command. Told again with the same sequence it changes nothing.
struct LimitBatch {
  struct End {
    uint64_t reservation = 0;
    bool begun = true;
  };
  struct Held {
    uint64_t reservation = 0;
    std::string text;
  };
  struct Used {
    SharedLimits::Use use;
    WallTime at{};  // by our clock: Redis is told how long ago, and on which day
  };
  int64_t sequence = 0;
  bool anew = false;  // what our lease holds is forgotten first
  std::vector<End> ends;
  std::vector<Held> held;  // what Redis has forgotten, or never heard of
  std::vector<Used> uses;
};

// Who speaks.
struct LimitSpeaker {
  std::string relay;
  Duration lease{};
  bool holds = false;  // our lease should be there
  uint64_t fence = 0;
};

struct LimitReserve {
  uint64_t id = 0;
  Limiter::Ask ask;
};

// As the script numbers them.
enum class LimitOutcome : uint8_t {
  kSettled,   // nothing was to be reserved
  kAdmitted,  // in shadow with denials
  kDenied,
  kTooLate,  // of an older fence: nothing was done
  kLapsed,   // our lease is gone: it was settled, but nothing reserved
};

namespace redis_limit_calls {

// `batch`, `reserve`: null where there is none.
SharedRequest Make(const LimitSpeaker& speaker, const Zone& zone, WallTime now,
                   const LimitBatch* batch, const LimitReserve* reserve);
// How what an ask holds is written.
std::string HeldText(const Limiter::Ask& ask);

struct Answer {
  LimitOutcome outcome = LimitOutcome::kSettled;
  SharedLimits::Verdict verdict;
};
// `ask`: of which the answer tells, null where nothing was to be reserved; `now` counts its waits.
// Nothing: nobody understands it.
std::optional<Answer> Read(const RespReply& reply, const Limiter::Ask* ask, const Zone& zone,
                           TimePoint now, WallTime wall);

}  // namespace redis_limit_calls
}  // namespace relay
