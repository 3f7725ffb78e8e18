// SPDX-License-Identifier: MIT
#include "tests/fuzz/sent_on.h"

#include <string>
#include <utility>
#include <vector>

#include "core/http/codec.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reference_http1.h"

namespace relay {
namespace {

constexpr std::string_view kNext = "GET /next HTTP/1.1\r\nHost: next.test\r\n\r\n";

bool BelongsToTheHop(std::string_view name) {
  static constexpr std::string_view kNames[] = {
      "connection", "keep-alive",     "proxy-connection", "te",   "trailer", "transfer-encoding",
      "upgrade",    "http2-settings", "content-length",   "host", "expect"};
  for (std::string_view own : kNames) {
    if (EqualsIgnoreCase(own, name)) return true;
  }
  return false;
}

}  // namespace

void CheckSentOn(const Head& request, std::string_view body) {
  std::unique_ptr<ClientCodec> client = MakeHttp1Client();
  Head head = request.Clone();
  if (head.authority.empty()) head.authority = head.Keep("upstream.test");
  bool bodiless = body.empty() && !head.content_length && !head.Has("transfer-encoding");
  Result<StreamId> id = client->Open(head, bodiless);
  Check(id.has_value(), "a request that was taken cannot be sent on");
  if (!bodiless) {
    Buffer sending;
    sending.AppendCopy(body);
    client->SendData(*id, sending, /*end=*/true);
  }
  Buffer out;
  client->TakeOutput(out);
  std::string wire = out.ToString() + std::string(kNext);
  Reading seen = ReadRequests(wire, {1 << 20, 1 << 20, 1000, UINT64_MAX});
  Check(seen.messages.size() == 2 && !seen.refused && !seen.open, "not one request any more", wire);
  const ReferenceMessage& sent = seen.messages.front();
  Check(sent.method == head.method && sent.target == head.target, "another request", wire);
  Check(sent.authority == head.authority, "another authority", wire);
  Check(sent.body == body && sent.complete, "another body", wire);
  Check(seen.messages.back().target == "/next", "another second request", wire);
  std::vector<std::pair<std::string, std::string>> expected;
  for (const Field& field : head.fields) {
    if (!BelongsToTheHop(field.name)) expected.emplace_back(field.name, field.value);
  }
  std::vector<std::pair<std::string, std::string>> got;
  for (const auto& [name, value] : sent.fields) {
    if (!BelongsToTheHop(name)) got.emplace_back(name, value);
  }
  Check(expected == got, "other fields", wire);
}

}  // namespace relay
