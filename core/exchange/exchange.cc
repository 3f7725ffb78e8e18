// SPDX-License-Identifier: MIT
// The exchange's life: birth from a request's head, the body, answers of our own, and the end.
// The story in between is in run.cc.
#include "core/exchange/exchange.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/base/text.h"
#include "core/exchange/explanation.h"
#include "core/exchange/metrics.h"
#include "core/exchange/path.h"
#include "core/exchange/worker.h"
#include "core/store/keys.h"
#include "core/store/limiter.h"

namespace relay {

std::string_view NameOf(Outcome::End end) {
  switch (end) {
    case Outcome::End::kComplete: return "complete";
    case Outcome::End::kRefused: return "refused";
    case Outcome::End::kClientGone: return "client_gone";
    case Outcome::End::kUpstreamCut: return "upstream_cut";
    case Outcome::End::kFailed: return "failed";
    case Outcome::End::kDrained: return "drained";
  }
  return "failed";
}

Exchange::Exchange(Worker& its_worker, std::unique_ptr<Stream> client, Head head)
    : worker(its_worker),
      loop(its_worker.loop),
      table(its_worker.table),
      explanation(its_worker.explanation),
      id(RandomHex(12, "req_")),
      request(std::move(head)),
      method(request.method),
      client_(std::move(client)),
      peer_(client_->peer()),
      started_(loop.Now()),
      silence_(loop.timers(), *this) {
  worker.exchanges.PushBack(*this);
  if (explanation == nullptr) worker.metrics.OnStart();
  client_->Watch(this);
}

void Exchange::Start(Worker& worker, std::unique_ptr<Stream> client, Head head) {
  auto* exchange = new Exchange(worker, std::move(client), std::move(head));
  exchange->root_ = exchange->Run();
  // Only the loop resumes, the first time too: this is called from inside a codec.
  exchange->root_.StartOn(
      exchange->loop, exchange->start_,
      [](void* arg) noexcept { static_cast<Exchange*>(arg)->OnStoryEnd(); }, exchange);
}

void Exchange::Refuse(Worker& worker, std::unique_ptr<Stream> client, const Error& why) {
  auto* exchange = new Exchange(worker, std::move(client), Head());
  exchange->RefuseWith(ToRefusal(why));
  exchange->End();
}

Exchange::~Exchange() {
  client_->Watch(nullptr);
  // The story's locals first: the upstream's stream is reset before filters hear of the end.
  root_ = Task<Unit>();
  outcome.total = loop.Now() - started_;
  if (route != nullptr) {
    for (size_t i = entered_; i > 0; --i) route->filters[i - 1]->OnFinish(*this, outcome);
  }
  FreeBody();
  if (explanation == nullptr) worker.metrics.OnFinish(*this);
}

void Exchange::End() {
  if (ending_) return;
  ending_ = true;
  loop.Bury(std::unique_ptr<Mortal>(this));
}

void Exchange::OnStreamLost(const Error& why) {
  if (ending_) return;
  outcome.end = Outcome::End::kClientGone;
  outcome.why = why.what;
  End();
}

void Exchange::Abort(Outcome::End end, const Refusal& refusal) {
  if (ending_) return;
  if (!client_->head_sent()) {
    RefuseWith(refusal);
  } else if (!client_->sent_all()) {
    BreakOff(refusal);
  }
  outcome.end = end;
  End();
}

Task<Result<Unit>> Exchange::LoadBody() {
  if (body.loaded) return Result<Unit>(Unit{});
  return ReadWholeBody();
}

Task<Result<Unit>> Exchange::ReadWholeBody() {
  if (request.content_length && *request.content_length > 0) {
    if (*request.content_length > worker.bodies.bound()) co_return LargerThanAllRoom();
    // Nothing of it is counted before it comes: announcing a body must not keep others' out.
    body.Reserve(*request.content_length);
  }
  if (request.expects_continue) {
    Head go_on;
    go_on.status = 100;
    client_->SendHead(go_on, false);
  }
  TimePoint last = loop.Now() + worker.limits.body_timeout;
  while (!client_->at_end()) {
    TimePoint deadline = std::min(last, loop.Now() + worker.limits.body_idle);
    Result<Chunk> chunk = co_await client_->Read(deadline);
    if (!chunk) {
      Error why = chunk.error();
      if (why.fault == Fault::kTimeout) {
        why = Error{Party::kClient, Fault::kTimeout, "the request's body did not come in time"};
      }
      co_return std::unexpected(std::move(why));
    }
    if (body.size() + chunk->size() > held_) {
      TimePoint asked = loop.Now();
      Result<Unit> taken = co_await TakeBodyBytes(body.size() + chunk->size() - held_);
      if (!taken) co_return taken;
      last += loop.Now() - asked;  // that wait was not the client's
    }
    body.Append(chunk->view());
  }
  body.loaded = true;
  outcome.bytes_in = body.size();
  co_return Unit{};
}

Task<Result<Unit>> Exchange::TakeBodyBytes(size_t bytes) {
  if (held_ + bytes > worker.bodies.bound()) return LargerThanAllRoom();
  if (held_ == 0 && facts.key != nullptr) body_owner_ = facts.key->scope.get();
  if (!worker.bodies.TryTake(body_owner_, bytes)) return WaitForBodyRoom(bytes);
  held_ += bytes;
  return Result<Unit>(Unit{});
}

Task<Result<Unit>> Exchange::WaitForBodyRoom(size_t bytes) {
  TimePoint deadline = loop.Now() + worker.limits.body_room;
  bool taken = co_await worker.bodies.Take(loop, body_owner_, bytes, deadline);
  if (!taken) {
    co_return Fail(Party::kRelay, Fault::kOverloaded,
                   "too many request bodies are in memory; try again in a moment", true);
  }
  held_ += bytes;
  co_return Unit{};
}

Result<Unit> Exchange::LargerThanAllRoom() {
  return Fail(Party::kClient, Fault::kBodyTooLarge,
              "the request's body is larger than all memory for bodies");
}

void Exchange::FreeBody() {
  worker.bodies.Give(body_owner_, std::exchange(held_, 0));
  json = JsonIndex();
  edits = Edits();
  body.Clear();
}

void Exchange::CompleteHead(Head& head) const {
  head.Set("x-relay-request-id", id);
  if (std::string decision = DecisionOf(*this); !decision.empty()) {
    head.Set(kDecisionField, decision);
  }
  if (!head.Has("date")) head.Add("date", HttpDate(loop.clock().Wall()));
}

void Exchange::Send(const Reply& reply) {
  Head head;
  head.status = reply.status;
  if (!reply.content_type.empty()) head.Add("content-type", reply.content_type);
  for (const auto& [name, value] : reply.headers) head.Add(name, value);
  head.content_length = reply.body.size();
  CompleteHead(head);
  outcome.status = reply.status;
  bool empty = reply.body.empty() || method == "HEAD";
  client_->SendHead(head, empty);
  if (empty) return;
  outcome.bytes_out = reply.body.size();
  client_->Send(Chunk::Copy(reply.body), true);
}

void Exchange::RefuseWith(const Refusal& refusal) {
  outcome.end = Outcome::End::kRefused;
  outcome.why = refusal.message;
  if (explanation != nullptr) explanation->Refuse(dialect, refusal);
  Send(RefusalReply(dialect, refusal, id));
}

}  // namespace relay
