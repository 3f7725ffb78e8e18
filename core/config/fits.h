// SPDX-License-Identifier: MIT
// Rules of texts that several parts of relay.yaml share, with the words in which they complain.
#pragma once

#include <chrono>

#include "core/config/fields.h"
#include "core/config/texts.h"

namespace relay {

inline const Fits kName{IsName, "must be lower-case letters, digits, '-', '_' or '.' (64 at most)"};
inline const Fits kNoPlaceholder{IsNoPlaceholder, "must not be the placeholder of a guide", false};
inline const Fits kRelayKey{IsRelayKey, "must be 10 to 512 printable characters without spaces"};
inline const Fits kCredential{IsCredential, "must be printable characters without spaces"};
inline const Fits kModelGlob{IsModelGlob,
                             "must be the name of a model, in which '*' stands for any text"};
inline const Fits kNetwork{IsNetwork,
                           "must be an address or a net like 10.0.0.0/8 or 2001:db8::/32"};
inline const Range kTimeout{std::chrono::milliseconds(10), std::chrono::hours(1)};

}  // namespace relay
