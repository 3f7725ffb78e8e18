// SPDX-License-Identifier: MIT
// The admin API: HTTP and JSON under /admin/v1, one file a resource, each of which adds its paths
// here. It knows nothing of how a request came or who may ask: the control socket is for who may
// open it, the page has sessions.
#pragma once

#include <expected>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/async/task.h"
#include "core/base/error.h"
#include "core/exchange/dialect.h"

namespace relay {

struct ApiRequest {
  std::string method;
  std::string path;   // "/admin/v1/keys/alice"
  std::string query;  // what follows the '?'
  std::string body;   // JSON, or ""
  // What stands where the pattern has {…}, decoded. Set by the router.
  std::vector<std::string> names = {};
  // Sends a line of the answer at once, as JSON; the reply's body is the last of them. Null where
  // the way does not do that.
  std::function<void(std::string_view)> tell = {};

  // The value of `name` in the query, decoded; "" when it is not there.
  std::string Query(std::string_view name) const;
};

// {"error":{"message":…}}
Reply ApiError(int status, std::string_view message);

// Why a request to the admin API cannot be done.
struct ApiFault {
  int status = 400;
  std::string message;
};
template <class T>
using ApiResult = std::expected<T, ApiFault>;
Reply ReplyOf(const ApiFault& fault);
// 409 or 400 for an error of who asked, 502 for a vendor's, else 503.
ApiFault FaultOf(const Error& error);

class ApiRouter {
 public:
  // The request lives until the task has ended. It ends even if who asked has left.
  using Handler = std::function<Task<Reply>(ApiRequest& request)>;

  // `pattern` is like /admin/v1/keys/{name}/disable; {…} stands for one segment of the path. What a
  // handler refers to outlives the router's use. The first pattern that matches wins.
  void Add(std::string_view method, std::string_view pattern, Handler handler);
  // HEAD is answered as GET. Nothing at that path is 404; something for other methods is 405.
  Task<Reply> Answer(ApiRequest& request) const;

 private:
  struct Entry {
    std::string method;
    std::vector<std::string> segments;  // "{…}": any
    Handler handler;
  };
  std::vector<Entry> entries_;
};

}  // namespace relay
