// SPDX-License-Identifier: MIT
// POST /admin/v1/rekey: goes over to a new encryption key. With a key file a new key is made; with
// keys in relay.yaml, the new one stands there already and the old one beside it, as
// previous-encryption-key. All that is sealed is sealed anew, each object by compare and set.
// Broken off at any point, it leaves a store whose every value opens with one of the two keys, and
// goes on where it was when it is asked again.
#pragma once

#include "admin/api/router.h"
#include "admin/objects.h"

namespace relay {

// Both outlive the router's use; `keyring` is null where nothing is kept.
void AddRekeyApi(ApiRouter& router, Objects& objects, Keyring* keyring);

}  // namespace relay
