// SPDX-License-Identifier: MIT
// What an outbound proxy says to CONNECT and to SOCKS5: the same verdict in any pieces, within
// bounds, and a connection stands only where the proxy has said nothing behind its last word.
#include "core/net/proxy.h"
#include "tests/fuzz/fuzz.h"

namespace relay {
namespace {

struct Verdict {
  std::string said;
  std::string what;  // of the error
  Fault fault = Fault::kInternal;
  bool stands = false;
  bool operator==(const Verdict&) const = default;
};

Verdict Hold(const Proxy& proxy, std::string_view input, int way) {
  auto dialogue = ProxyDialogue::Begin(proxy, "api.test", 443);
  Verdict verdict;
  verdict.said = dialogue->TakeOutput();
  for (std::string_view piece : Cut(input, way)) {
    // In one piece it would have been an error.
    if (verdict.stands) {
      verdict.stands = false;
      verdict.fault = Fault::kProxy;
      verdict.what = "the proxy " + proxy.Name() + " says more than it should";
      break;
    }
    Result<bool> done = dialogue->Receive(piece);
    verdict.said += dialogue->TakeOutput();
    if (!done) {
      Check(done.error().party == Party::kUpstream && done.error().retryable, "another's fault");
      verdict.fault = done.error().fault;
      verdict.what = done.error().what;
      break;
    }
    verdict.stands = *done;
  }
  Check(!verdict.stands || input.size() <= ProxyDialogue::kMostAnswer, "it hears too much");
  Check(verdict.what.empty() || input.size() > 0, "an error without a word");
  Check(verdict.said.size() < 1024, "it says too much", verdict.said);
  return verdict;
}

}  // namespace

void Fuzz(std::string_view input) {
  for (Proxy::Kind kind : {Proxy::Kind::kHttp, Proxy::Kind::kSocks5}) {
    for (const char* user : {"", "alice"}) {
      Proxy proxy;
      proxy.kind = kind;
      proxy.host = "proxy.test";
      proxy.port = 1080;
      proxy.user = Secret(user);
      proxy.password = Secret(*user == '\0' ? "" : "s3cret");
      Verdict whole = Hold(proxy, input, 0);
      for (int way = 1; way < kCuts; ++way) {
        Check(Hold(proxy, input, way) == whole, "another verdict in pieces", whole.what);
      }
    }
  }
}

}  // namespace relay
