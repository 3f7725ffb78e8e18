// SPDX-License-Identifier: MIT
#include "admin/api/explain.h"

#include "admin/rehearsal.h"

namespace relay {

void AddExplainApi(ApiRouter& router, Services& services, Endpoints& endpoints) {
  router.Add("POST", "/admin/v1/explain",
             [&services, &endpoints](ApiRequest& asked) -> Task<Reply> {
               Result<RehearsedRequest> request = RehearsedRequest::Parse(asked.body);
               if (!request) return ApiError(400, request.error().what);
               asked.body = std::string();  // not large twice
               Explanation explanation(request->key);
               Result<Unit> done = Rehearse(services, endpoints, *request, explanation);
               if (!done) return ApiError(422, "not explained: " + done.error().what);
               return Reply{.body = explanation.Json()};
             });
}

}  // namespace relay
