// SPDX-License-Identifier: MIT
// What earlier runs left in the store and in their journals.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/store/spending.h"
#include "core/store/store.h"

namespace relay {

// What an epoch that is over has left to do, mostly one of an earlier run: its last sums, to be
// flushed and folded.
struct DeadEpoch {
  LedgerFlush last;                // no rows: the store has them; no epoch: nothing to fold either
  std::vector<std::string> files;  // of its journal, to be removed then
};

struct Past {
  std::vector<DayRow> days;         // of all runs, in sum
  std::vector<LedgerEntry> recent;  // oldest first
  std::vector<DeadEpoch> dead;
  std::vector<StateBlob> states;
};

// What the store alone has.
struct StoredPast {
  LedgerImage image;
  std::vector<StateBlob> states;
};

// One call of the store after the other. `kinds`: of states.
void LoadStored(Store& store, std::vector<std::string> kinds, Store::Done<StoredPast> done);

// That together with the journals. `run`: our own, whose epochs are no past. Reads files; changes
// nothing. Errors are those of ReadJournals.
Result<Past> PastOf(StoredPast stored, const std::string& journals, std::string_view run = {});

// Both, for start-up and tests: waits.
Result<Past> ReadPast(Store& store, const std::string& journals,
                      const std::vector<std::string>& kinds = {});

// What each key has spent on those days, by the calendar of `today`.
std::map<std::string, Spending> SpendingByKey(const std::vector<DayRow>& days, int32_t today);

}  // namespace relay
