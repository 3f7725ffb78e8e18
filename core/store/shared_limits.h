// SPDX-License-Identifier: MIT
// Limits that several relays share, behind the limiter of each: what that admits is asked here
// besides, so that all relays together hold them as one would. One relay alone has none of this.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "core/async/task.h"
#include "core/store/limiter.h"

namespace relay {

class Loop;

class SharedLimits {
 public:
  struct Verdict {
    // What all relays together deny; in shadow it is admitted all the same.
    std::optional<Limiter::Denied> denied = {};
    // When to ask again if nothing changes; max: nobody can foretell it.
    TimePoint again = TimePoint::max();
    TimePoint earliest = {};  // whatever changes, it is not admitted before
    Limiter::Common common = {};
    // Nobody has answered in time: the relay's own limits alone have decided.
    bool away = false;
    // To be settled, once. 0: nothing is held.
    uint64_t reservation = 0;
  };

  // What an exchange has used of a scope.
  struct Use {
    std::string scope;
    Charge charge;
    PastSpending past = {};  // of the scope, from before this run
  };
  struct Settlement {
    uint64_t reservation = 0;  // 0: none was asked for
    bool begun = true;         // false: the exchange did not go on, and is no start either
    std::array<std::optional<Use>, Slot::kMost> uses = {};
  };

  virtual ~SharedLimits() = default;
  // Asks for what the limiter has admitted. If the frame dies before it is answered, nothing stays
  // reserved.
  virtual Task<Verdict> Reserve(Loop& loop, Limiter::Ask ask) = 0;
  // The exchange is over. From any thread, at once.
  virtual void Settle(Settlement settlement) = 0;
  struct Status {
    bool away = false;   // nobody answers: the relay's own limits alone decide
    uint64_t alone = 0;  // what was decided so, since the start
  };
  // From any thread, at once.
  virtual Status status() const = 0;
};

}  // namespace relay
