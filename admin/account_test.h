// SPDX-License-Identifier: MIT
// Whether an account works: a few small requests of the relay's own, step by step. A key of the
// vendor's API generates one token. A subscription is asked about itself and generates nothing:
// that is for the vendor's own client.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/async/task.h"
#include "core/config/root.h"
#include "upstreams/account.h"
#include "upstreams/oauth.h"
#include "upstreams/vendor_call.h"

namespace relay {

struct AccountTestStep {
  std::string what;  // "token", "models", "message"
  bool good = false;
  std::string detail;  // for people: what came, or why not
  Duration took{};
};

// Ends with the first step that fails. `model`: "": one that the vendor lists. `tell`, which may be
// null, gets each step when it is done.
Task<std::vector<AccountTestStep>> TestAccount(
    VendorCalls& calls, std::shared_ptr<const Account> account, ProviderKind provider,
    OauthClient client, std::string model, std::function<void(const AccountTestStep&)> tell = {});

}  // namespace relay
