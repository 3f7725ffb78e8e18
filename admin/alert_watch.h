// SPDX-License-Identifier: MIT
// Looks at everything that alerts are about.
#pragma once

#include <string>

#include "admin/alert_book.h"
#include "admin/services.h"

namespace relay {

// What is the case now. `refused`: what is wrong with a newer relay.yaml; "": nothing.
AlertLook LookForAlerts(Services& services, const std::string& refused);

}  // namespace relay
