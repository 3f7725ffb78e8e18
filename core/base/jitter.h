// SPDX-License-Identifier: MIT
// Chance in waits.
#pragma once

#include "core/base/clock.h"

namespace relay {

// Between three and five quarters of `time`, by chance: who failed with many others does not come
// back with all of them.
Duration Jittered(Duration time);
// From nothing up to `time`.
Duration RandomPart(Duration time);

}  // namespace relay
