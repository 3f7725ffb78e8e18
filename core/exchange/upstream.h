// SPDX-License-Identifier: MIT
// A cluster as the exchange sees it: something that understands requests of its vendor and sends
// them. Implemented in upstreams/.
#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/async/task.h"
#include "core/base/buffer.h"
#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/exchange/dialect.h"
#include "core/exchange/usage_meter.h"
#include "core/http/message.h"
#include "core/http/stream.h"
#include "core/store/usage.h"

namespace relay {

class Exchange;

// What kind of call a request is.
enum class Operation : uint8_t {
  kGenerate,  // produces tokens: counted, priced
  kCount,     // count_tokens, countTokens: free
  kModels,    // lists: free
  kStartup,   // Code Assist's calls that its CLI never repeats: free, retried here
  kOther,     // a path that the route passes through
};

// What the provider reads from a request: first from method and path, then from the body.
struct Ask {
  Operation operation = Operation::kOther;
  bool metered = false;    // not one of passthrough
  bool streams = false;    // the client waits for an SSE stream
  std::string model;       // as the client named it, after a rewrite's model map; "" if none
  std::string session;     // the vendor's session id, or a hash of the stable prefix; "" if none
  int64_t max_tokens = 0;  // 0: not given
  std::string path;        // what is sent in place of the client's path, an alias; "" if it is none
};

// A hold on an account: given back when it dies.
class Lease {
 public:
  virtual ~Lease() = default;
  virtual std::string_view account() const = 0;  // stable name within its cluster
  // What the answer used to a request of `since`: the vendor may have cached its prompt.
  virtual void NoteUsage(const Usage&, TimePoint /*since*/) {}
};

// Changes an answer's body on its way (Code Assist's envelope). Bytes may be held only up to the
// end of the event that they belong to.
class AnswerTransform {
 public:
  virtual ~AnswerTransform() = default;
  virtual void Apply(Chunk in, Buffer& out) = 0;
  virtual void Finish(Buffer& out) = 0;
};

// An answer that is committed: nothing of it is held any more.
struct Answer {
  Head head;
  Buffer first;                    // what was read to judge it, to be sent before the rest
  std::unique_ptr<Stream> stream;  // the rest; null when `first` is all
  std::unique_ptr<AnswerTransform> transform;
  std::unique_ptr<UsageMeter> meter;
  bool event_stream = false;
};

class Upstream {
 public:
  virtual ~Upstream() = default;
  virtual std::string_view name() const = 0;
  virtual std::string_view provider() const = 0;
  virtual Dialect DialectOf(std::string_view path) const = 0;
  // Whether the provider knows this call; `path` is without the route's prefix.
  virtual std::optional<Ask> Recognise(std::string_view method, std::string_view path) const = 0;
  // Completes x.ask from the head and the body, which is loaded.
  virtual Result<Unit> ReadBody(Exchange& x) const = 0;
  // Sends with x's lease, judges, fails over to other accounts until the answer is committed. What
  // it refuses is told to the client as it stands.
  virtual Task<std::expected<Answer, Refusal>> Send(Exchange& x) = 0;
  // How long a committed answer may be silent.
  virtual Duration idle_timeout() const = 0;
};

}  // namespace relay
