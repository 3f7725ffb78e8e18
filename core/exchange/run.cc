// SPDX-License-Identifier: MIT
// The life of a request, in order: route, filters, upstream, and back.
#include <cstring>
#include <utility>

#include "core/exchange/exchange.h"
#include "core/exchange/metrics.h"
#include "core/exchange/path.h"
#include "core/exchange/worker.h"

namespace relay {
namespace {

// Never to a client: they name the account, or speak of another origin than ours (R51).
bool StaysHere(std::string_view name) {
  return IsHopByHop(name) || EqualsIgnoreCase(name, "set-cookie") ||
         EqualsIgnoreCase(name, "alt-svc") || EqualsIgnoreCase(name, "content-length") ||
         EqualsIgnoreCase(name, "anthropic-organization-id");
}

// Claude Code starts with HEAD {base}/api/hello; any quick status will do (clients.md §1.8).
bool IsProbe(std::string_view method, std::string_view path) {
  bool reads = method == "HEAD" || method == "GET";
  return reads && ((method == "HEAD" && path == "/") || path.ends_with("/api/hello"));
}

}  // namespace

Task<Unit> Exchange::Run() {
  try {
    co_await RunChain();
  } catch (const std::exception& thrown) {
    // A bug of ours ends this exchange, never the process.
    worker.metrics.OnInternalError(thrown.what());
    Abort(Outcome::End::kFailed,
          Refusal{Fault::kInternal, "internal error; see the relay's log", {}, false});
    outcome.why = thrown.what();
  }
  co_return Unit{};
}

bool Exchange::FindRoute() {
  Result<std::string> normal = NormalisePath(request.path());
  if (!normal) {
    RefuseWith(ToRefusal(normal.error()));
    return false;
  }
  path = std::move(*normal);
  sent_path = path;
  RouteTable::Match match = table->Find(path);
  if (match.route != nullptr) {
    route = match.route;
    std::string rest(AfterPrefix(path, match.prefix));
    dialect = route->upstream->DialectOf(rest);
    path = std::move(rest);
  }
  if (IsProbe(request.method, path)) {
    outcome.end = Outcome::End::kComplete;
    Send(Reply{200, "", "", {}}, false);
    return false;
  }
  if (route == nullptr) {
    if (std::optional<Reply> reply = worker.endpoints.Answer(request, path)) {
      outcome.end = Outcome::End::kComplete;
      Send(*reply, request.method != "HEAD");
      return false;
    }
    RefuseWith(
        Refusal{Fault::kNotFound, "no route for this path; see routes in relay.yaml", {}, true});
    return false;
  }
  return Recognise();
}

bool Exchange::Recognise() {
  std::optional<Ask> known = route->upstream->Recognise(request.method, path);
  if (known) {
    ask = std::move(*known);
    return true;
  }
  for (const std::string& open : route->passthrough) {
    if (HasPrefix(path, open)) return true;
  }
  RefuseWith(Refusal{Fault::kNotFound,
                     "route '" + route->name +
                         "' does not serve this path; list it under "
                         "passthrough: to open it",
                     {},
                     true});
  return false;
}

Task<Unit> Exchange::RunChain() {
  if (!FindRoute()) co_return Unit{};
  for (const auto& filter : route->filters) {
    ++entered_;
    Verdict verdict = co_await filter->OnRequest(*this);
    if (verdict.refused()) {
      RefuseWith(verdict.refusal());
      co_return Unit{};
    }
  }
  WatchSilence();
  std::expected<Answer, Refusal> answer = co_await route->upstream->Send(*this);
  FreeBody();
  silence_.Disarm();
  if (!answer) {
    if (client_->head_sent()) {
      BreakOff(answer.error());
    } else {
      RefuseWith(answer.error());
    }
    outcome.end = Outcome::End::kFailed;
    outcome.why = answer.error().message;
    co_return Unit{};
  }
  co_await Pump(*answer);
  co_return Unit{};
}

void Exchange::SendAnswerHead(Answer& answer) {
  Head head;
  head.status = answer.head.status;
  head.content_length = answer.transform ? std::nullopt : answer.head.content_length;
  std::string_view named = answer.head.Get("connection");
  for (const Field& field : answer.head.fields) {
    bool stays = StaysHere(field.name);
    ForEachToken(named,
                 [&](std::string_view hop) { stays = stays || EqualsIgnoreCase(hop, field.name); });
    if (!stays) head.Add(field.name, field.value);
  }
  for (size_t i = entered_; i > 0; --i) route->filters[i - 1]->OnResponseHead(*this, head);
  CompleteHead(head);
  outcome.status = head.status;
  outcome.committed = true;
  bool nothing_follows = answer.stream == nullptr && answer.first.empty();
  bool bodiless = request.method == "HEAD" || head.status == 204 || head.status == 304;
  if (nothing_follows && !bodiless && !head.content_length) head.content_length = 0;
  client_->SendHead(
      head, bodiless || nothing_follows || (head.content_length && *head.content_length == 0));
}

Task<Unit> Exchange::Pump(Answer& answer) {
  meter_ = std::move(answer.meter);
  transform_ = std::move(answer.transform);
  outcome.first_byte = loop.Now() - started_;
  if (client_->head_sent()) {
    outcome.committed = true;  // a keep-alive had to go first
  } else {
    SendAnswerHead(answer);
  }
  const Duration idle = route->upstream->idle_timeout();
  while (true) {
    Chunk chunk = answer.first.Pop();
    if (chunk.empty()) {
      if (answer.stream == nullptr) break;
      Result<Chunk> read = co_await answer.stream->Read(loop.Now() + idle);
      if (!read) {
        FinishBroken(read.error(), answer);
        co_return Unit{};
      }
      chunk = std::move(*read);
      if (chunk.empty()) break;
    }
    Result<Unit> written = co_await Forward(std::move(chunk), answer.event_stream);
    if (!written) co_return Unit{};  // OnStreamLost has said why
  }
  if (answer.event_stream && meter_ != nullptr && !meter_->ended() && !meter_->ended_error()) {
    FinishBroken(
        Error{Party::kUpstream, Fault::kTruncated, "the upstream ended the stream too early", true},
        answer);
    co_return Unit{};
  }
  if (transform_ != nullptr) {
    Buffer rest;
    transform_->Finish(rest);
    while (!rest.empty()) SendPiece(rest.Pop());
  }
  outcome.end = Outcome::End::kComplete;
  client_->Send(Chunk(), true);
  co_return Unit{};
}

Stream::WriteOp Exchange::Forward(Chunk chunk, bool event_stream) {
  if (event_stream) WatchSilence();
  if (meter_ != nullptr) meter_->OnBytes(chunk.view());
  for (size_t i = entered_; i > 0; --i) {
    route->filters[i - 1]->OnResponseChunk(*this, chunk.view());
  }
  if (transform_ == nullptr) {
    SendPiece(std::move(chunk));
  } else {
    Buffer changed;
    transform_->Apply(std::move(chunk), changed);
    while (!changed.empty()) SendPiece(changed.Pop());
  }
  return client_->Write(Chunk());
}

void Exchange::SendPiece(Chunk chunk) {
  outcome.bytes_out += chunk.size();
  size_t n = std::min(chunk.size(), sizeof tail_);
  std::memmove(tail_, tail_ + n, sizeof tail_ - n);
  std::memcpy(tail_ + sizeof tail_ - n, chunk.data() + chunk.size() - n, n);
  client_->Send(std::move(chunk), false);
}

bool Exchange::BetweenEvents() const {
  std::string_view tail(tail_, sizeof tail_);
  return tail.ends_with("\n\n") || tail.ends_with("\r\n\r\n") || tail.ends_with("\r\r");
}

void Exchange::FinishBroken(const Error& why, Answer& answer) {
  outcome.end = Outcome::End::kUpstreamCut;
  outcome.why = why.what;
  if (answer.event_stream) {
    BreakOff(ToRefusal(why));
  } else {
    client_->Reset(Fault::kReset);
  }
}

void Exchange::BreakOff(const Refusal& refusal) {
  silence_.Disarm();
  std::string event = ErrorEvent(dialect, refusal, id);
  if (!BetweenEvents() || event.empty()) {
    client_->Reset(Fault::kReset);
    return;
  }
  bool clean = !EarlyEndLooksWhole(dialect);
  client_->Send(Chunk::Copy(event), clean);
  if (!clean) client_->Reset(Fault::kReset);
}

void Exchange::WatchSilence() {
  if (ask.streams && !KeepAlive(dialect).empty()) silence_.ArmIn(worker.limits.silence);
}

void Exchange::OnSilence() {
  if (ending_ || client_->sent_all()) return;
  if (!client_->head_sent()) {
    // The upstream is silent: the client learns that we live, and may still be moved to another
    // account, since nothing of an answer has been said.
    Head head;
    head.status = 200;
    head.Add("content-type", "text/event-stream; charset=utf-8");
    head.Add("cache-control", "no-cache");
    CompleteHead(head);
    outcome.status = 200;
    client_->SendHead(head, false);
  }
  if (BetweenEvents()) client_->Send(Chunk::Static(KeepAlive(dialect)), false);
  WatchSilence();
}

}  // namespace relay
