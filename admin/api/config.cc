// SPDX-License-Identifier: MIT
#include "admin/api/config.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/async/event.h"

namespace relay {
namespace {

// What a request waits for. The reloader has a share in it: it may tell of the outcome when nobody
// waits any more.
struct Waiting {
  explicit Waiting(Loop& loop) : told(loop) {}
  Event told;
  std::optional<std::string> json;
};

Reloader::Done TellTo(const std::shared_ptr<Waiting>& waiting) {
  return [waiting](const ReloadOutcome& outcome) {
    waiting->json = outcome.Json();
    waiting->told.NotifyAll();
  };
}

Task<Reply> AnswerOf(std::shared_ptr<Waiting> waiting) {
  while (!waiting->json) co_await waiting->told.Wait();
  co_return Reply{.body = std::move(*waiting->json)};
}

}  // namespace

void AddConfigApi(ApiRouter& router, Loop& loop, Reloader& reloader) {
  router.Add("POST", "/admin/v1/config/reload", [&](ApiRequest&) -> Task<Reply> {
    auto waiting = std::make_shared<Waiting>(loop);
    reloader.Reload("relay reload", TellTo(waiting));
    return AnswerOf(waiting);
  });
  router.Add("GET", "/admin/v1/config/diff", [&](ApiRequest& request) -> Task<Reply> {
    std::string file = request.Query("file");
    if (!file.empty() && !file.starts_with('/')) {
      return ApiError(400, "'file' must be an absolute path");
    }
    auto waiting = std::make_shared<Waiting>(loop);
    reloader.Compare(std::move(file), TellTo(waiting));
    return AnswerOf(waiting);
  });
}

}  // namespace relay
