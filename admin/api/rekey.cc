// SPDX-License-Identifier: MIT
#include "admin/api/rekey.h"

#include <string>

#include "core/base/json.h"
#include "core/base/log.h"

namespace relay {
namespace {

Task<Reply> Rekey(Objects& objects, Keyring& ring) {
  if (!ring.has_previous()) {
    if (ring.given()) {
      co_return ApiError(409,
                         "the encryption key is relay.yaml's: give the new one as "
                         "secrets.encryption-key and the old one as "
                         "secrets.previous-encryption-key, start the relay again, and run this");
    }
    if (Result<Unit> renewed = ring.Renew(); !renewed) {
      co_return ApiError(500, renewed.error().what);
    }
  }
  ApiResult<int64_t> sealed = co_await objects.SealAllAnew();
  if (!sealed) co_return ApiError(sealed.error().status, sealed.error().message);
  if (Result<Unit> dropped = ring.DropPrevious(); !dropped) {
    co_return ApiError(500, dropped.error().what);
  }
  Log(LogLevel::kInfo, "sealed anew", {{"objects", *sealed}, {"key_id", ring.vault()->key_id()}});
  JsonText json;
  json.BeginObject().Field("objects", *sealed).Field("key-id", ring.vault()->key_id());
  json.Field("given", ring.given()).EndObject();
  co_return Reply{.body = json.Take()};
}

}  // namespace

void AddRekeyApi(ApiRouter& router, Objects& objects, Keyring* keyring) {
  router.Add("POST", "/admin/v1/rekey", [&objects, keyring](ApiRequest&) -> Task<Reply> {
    if (keyring != nullptr && objects.directory() != nullptr) return Rekey(objects, *keyring);
    return ApiError(503, "there is no store, or it has not been reached yet: nothing is sealed");
  });
}

}  // namespace relay
