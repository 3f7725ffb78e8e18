// SPDX-License-Identifier: MIT
#include "upstreams/vendor_call.h"

#include "core/base/secret.h"
#include "core/http/connection.h"
#include "core/net/dialer.h"

namespace relay {
namespace {

// The one connection of a call, which ends with it.
struct OneConnection {
  List<Connection, ConnectionTag> list;
  OneConnection() = default;
  OneConnection(const OneConnection&) = delete;
  OneConnection& operator=(const OneConnection&) = delete;
  ~OneConnection() {
    list.ForEach([](Connection& connection) { connection.CloseNow(); });
  }
};

Head HeadOf(const VendorRequest& request) {
  Head head;
  head.method = head.Keep(request.method);
  std::string target = request.url.path.empty() ? "/" : request.url.path;
  if (!request.query.empty()) target += "?" + request.query;
  head.target = head.Keep(target);
  head.authority = head.Keep(AuthorityOf(request.url));
  // No client is played here: it is the relay that asks.
  head.Add("user-agent", "relay/" RELAY_VERSION);
  head.Add("accept", "application/json");
  head.Add("accept-encoding", "identity");
  for (const auto& [name, value] : request.fields) head.Add(name, value);
  if (request.method == "POST") head.content_length = request.body.size();
  return head;
}

}  // namespace

VendorRequest::~VendorRequest() {
  for (auto& [name, value] : fields) WipeString(value);
  WipeString(url.path);
  WipeString(query);
  WipeString(body);
}

Task<Result<VendorAnswer>> VendorCalls::Call(VendorRequest request, WayOut way,
                                             TimePoint deadline) {
  Result<Endpoint> endpoint = DialledEndpoint({request.url, std::move(way)}, tls_);
  if (!endpoint) co_return std::unexpected(endpoint.error());
  Result<std::unique_ptr<Transport>> transport =
      co_await Dial(loop_, resolver_, *std::move(endpoint), deadline);
  if (!transport) co_return std::unexpected(transport.error());
  OneConnection one;
  ClientConnection* connection =
      ClientConnection::Start(loop_, std::move(*transport), std::chrono::seconds(10));
  one.list.PushBack(*connection);
  Head head = HeadOf(request);
  Buffer body;
  body.AppendCopy(request.body);
  Result<std::unique_ptr<Stream>> stream = connection->Open(head, std::move(body));
  if (!stream) co_return std::unexpected(stream.error());
  Result<Head> begun = co_await (*stream)->ReadHead(deadline);
  if (!begun) co_return std::unexpected(begun.error());
  VendorAnswer answer;
  answer.status = begun->status;
  answer.head = std::move(*begun);
  while (true) {
    Result<Chunk> chunk = co_await (*stream)->Read(deadline);
    if (!chunk) co_return std::unexpected(chunk.error());
    if (chunk->empty()) co_return answer;
    answer.body += chunk->view();
    if (answer.body.size() > kMostBytes) {
      co_return Fail(Party::kUpstream, Fault::kBodyTooLarge, "the vendor's answer is too long");
    }
  }
}

}  // namespace relay
