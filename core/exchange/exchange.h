// SPDX-License-Identifier: MIT
// One request and its answer, in flight. Owns the client's stream, the body, what filters learnt
// (facts), and the root coroutine; its destruction is the end of all of it, and the only place
// where filters are told that it is over.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "core/async/loop.h"
#include "core/async/task.h"
#include "core/base/json.h"
#include "core/exchange/body.h"
#include "core/exchange/body_budget.h"
#include "core/exchange/chain.h"
#include "core/exchange/decision.h"
#include "core/exchange/dialect.h"
#include "core/exchange/upstream.h"
#include "core/exchange/usage_meter.h"
#include "core/http/connection.h"
#include "core/http/stream.h"

namespace relay {

class Explanation;
struct KeyRecord;
class Slot;
class Worker;

// How an exchange ended, for the filters, the log and the metrics.
struct Outcome {
  enum class End : uint8_t { kComplete, kRefused, kClientGone, kUpstreamCut, kFailed, kDrained };
  End end = End::kFailed;
  int status = 0;          // what the client saw; 0: nothing
  bool committed = false;  // an upstream's answer reached the client
  std::string why;         // an error's text, for the log
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  int attempts = 0;
  Duration total{};
  Duration first_byte{};  // zero: none came
};
std::string_view NameOf(Outcome::End end);

// What filters learn. Each has one writer.
struct Facts {
  std::shared_ptr<const KeyRecord> key;  // auth
  std::unique_ptr<Slot> slot;            // rate-limit: places among the requests in flight
  std::unique_ptr<Lease> lease;          // account-select; the cluster exchanges it at failover
  Way way;
  bool body_read = false;  // the provider has completed the ask (read_request.h)
  // usage-record: what the ledger is told at the close. `whole`: of an answer that came to its end.
  struct Used {
    int64_t tokens = 0;
    int64_t output = 0;
    int64_t nanodollars = 0;
    bool whole = false;
  } used;
  // usage-record: how far the ledger has heard of it.
  enum class Recorded : uint8_t { kNot, kOpened, kClosed } recorded = Recorded::kNot;
};

struct ExchangeTag {};

class Exchange final : public Mortal, public ListNode<ExchangeTag>, private Stream::Watcher {
 public:
  // Owns itself: it runs from the loop's next drain on and buries itself at its end.
  static void Start(Worker& worker, std::unique_ptr<Stream> client, Head head);
  // Answers a request that broke the protocol's rules.
  static void Refuse(Worker& worker, std::unique_ptr<Stream> client, const Error& why);
  ~Exchange() override;

  Worker& worker;
  Loop& loop;
  const std::shared_ptr<const RouteTable> table;  // what it began with, whatever is reloaded
  // Where its decisions are told, and nothing of them done; null: it is served.
  Explanation* const explanation;
  const std::string id;  // x-relay-request-id

  Head request;              // credentials are stripped by auth; empty once the answer has begun
  const std::string method;  // of the request
  std::string path;          // normalised, after the route's prefix: what filters see
  std::string sent_path;     // what goes upstream; rewrite's strip-prefix makes it `path`
  const Route* route = nullptr;
  Dialect dialect = Dialect::kPlain;
  Ask ask;
  Facts facts;
  Body body;
  JsonIndex json;  // of the body, where it is a JSON object
  Edits edits;     // what rewrite changes in the body
  Outcome outcome;

  // Reads the body to its end, once. Errors: too large, too slow, gone.
  Task<Result<Unit>> LoadBody();
  // Ends it from outside: the dialect's error event if it has begun, a refusal if not.
  void Abort(Outcome::End end, const Refusal& refusal);
  // The body is not needed any more: the answer is committed or no attempt is left.
  void FreeBody();
  TimePoint started() const { return started_; }
  std::string_view peer() const { return peer_; }
  // Where it is: "route", a filter's name, "upstream".
  std::string_view step() const { return step_; }
  // Of the answer, for usage-record; null before there is one, and where nothing is counted.
  UsageMeter* meter() const { return meter_.get(); }
  // The answer is a good one to a call that produces tokens, and is metered.
  bool has_usage() const {
    return meter_ != nullptr && ask.operation == Operation::kGenerate && outcome.status / 100 == 2;
  }

 private:
  Exchange(Worker& worker, std::unique_ptr<Stream> client, Head head);
  void OnStreamLost(const Error& why) override;
  void OnSilence();
  void End();

  // run.cc: the story.
  Task<Unit> Run();
  // What is left of an answer that has begun.
  struct Flow {
    Buffer first;                    // what was read already
    std::unique_ptr<Stream> stream;  // the rest; null when `first` is all
  };
  // Until the answer has begun; nothing where the story ends before.
  Task<std::optional<Flow>> Begin();
  void OnStoryEnd() noexcept;
  void Enter(std::string_view step);
  bool FindRoute();
  // False, with a refusal, while the relay serves nobody.
  bool IsOpen();
  bool Recognise();
  // False when the answer cannot follow what was said already (a keep-alive and its 200).
  bool BeginAnswer(Answer& answer);
  void SendAnswerHead(const Answer& answer);
  Stream::WriteOp Forward(Chunk chunk);
  void SendPiece(Chunk chunk);
  void FinishAnswer(const Error* why);
  // After the head: the dialect's error event where one may stand, else a broken connection.
  void BreakOff(const Refusal& refusal);
  bool BetweenEvents() const;
  void WatchSilence();

  // Answers now; only before anything of an answer was sent. HEAD gets no body.
  void Send(const Reply& reply);
  Task<Result<Unit>> ReadWholeBody();
  void RefuseWith(const Refusal& refusal);
  void CompleteHead(Head& head) const;
  // Waits for room in the memory for bodies if there is none.
  Task<Result<Unit>> TakeBodyBytes(size_t bytes);
  Task<Result<Unit>> WaitForBodyRoom(size_t bytes);
  // The error of a body that can never fit there.
  static Result<Unit> LargerThanAllRoom();

  std::unique_ptr<Stream> client_;
  std::string peer_;
  TimePoint started_;
  std::string_view step_;
  size_t entered_ = 0;                      // filters whose OnRequest began
  size_t held_ = 0;                         // bytes of the body taken from the process's budget
  BodyBudget::Owner body_owner_ = nullptr;  // for whom: the key that was known at the first
  std::unique_ptr<UsageMeter> meter_;
  std::unique_ptr<AnswerTransform> transform_;
  bool ending_ = false;
  bool events_ = false;  // the answer is a stream of events that we can read and add to
  std::array<char, 3> tail_{'\n', '\n', '\n'};  // the last bytes sent: are we between events?
  MethodTimer<Exchange, &Exchange::OnSilence> silence_;
  Waiter start_;
  Task<Unit> root_;  // last: its locals die first
};

}  // namespace relay
