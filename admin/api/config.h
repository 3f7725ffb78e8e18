// SPDX-License-Identifier: MIT
// What is in force, and relay.yaml:
//   POST /admin/v1/config/reload            reads the file anew and puts it in force if it is good
//   GET  /admin/v1/config/diff?file=/x.yaml says what that file would change; without one, the file
//                                           that the relay was started with
// Both answer 200 with {"good":…,"problems":[…],"notes":[…],"changes":[…]} when they have looked.
#pragma once

#include "admin/api/router.h"
#include "admin/reload.h"
#include "core/async/loop.h"

namespace relay {

// `loop` is the one on which the router answers. Both outlive the router's use.
void AddConfigApi(ApiRouter& router, Loop& loop, Reloader& reloader);

}  // namespace relay
