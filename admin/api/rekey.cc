// SPDX-License-Identifier: MIT
#include "admin/api/rekey.h"

#include <memory>
#include <string>
#include <utility>

#include "core/base/json.h"
#include "core/base/log.h"

namespace relay {
namespace {

// `busy`: whether one is under way. Two at once could drop a key that the other still needs.
Task<Reply> Rekey(Objects& objects, Keyring& ring, std::shared_ptr<bool> busy) {
  if (*busy) co_return ApiError(409, "another rekey is under way; wait for its end");
  *busy = true;
  struct Idle {
    std::shared_ptr<bool> busy;
    ~Idle() { *busy = false; }
  } idle{std::move(busy)};
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
  auto busy = std::make_shared<bool>(false);
  router.Add("POST", "/admin/v1/rekey", [&objects, keyring, busy](ApiRequest&) -> Task<Reply> {
    if (keyring != nullptr && objects.directory() != nullptr) return Rekey(objects, *keyring, busy);
    return ApiError(503, "there is no store, or it has not been reached yet: nothing is sealed");
  });
}

}  // namespace relay
