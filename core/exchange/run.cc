// SPDX-License-Identifier: MIT
// The life of a request, in order: route, filters, upstream, and back.
#include <algorithm>
#include <exception>
#include <utility>

#include "core/exchange/exchange.h"
#include "core/exchange/explanation.h"
#include "core/exchange/metrics.h"
#include "core/exchange/path.h"
#include "core/exchange/worker.h"

namespace relay {
namespace {

// Never to a client: they name the account, or speak of another origin than ours (R51). The length
// is the codec's to say.
constexpr NameSet kStaysHere({"set-cookie", "alt-svc", "content-length",
                              "anthropic-organization-id", "strict-transport-security",
                              "x-relay-request-id", kDecisionField});

bool StaysHere(std::string_view name) {
  return kStaysHere.Has(name) || IsHopByHop(name);
}

// Claude Code starts with HEAD {base}/api/hello; any quick status will do.
bool IsProbe(std::string_view method, std::string_view path) {
  if (method == "HEAD" && path == "/") return true;
  return (method == "HEAD" || method == "GET") && path.ends_with("/api/hello");
}

// Which route it is, and which stand before it and are not.
void ExplainRoute(const RouteTable& table, const RouteTable::Match& match,
                  Explanation& explanation) {
  if (match.route != nullptr) {
    explanation.Set("route", match.route->name);
    std::string how =
        match.prefix.empty() ? "its very path" : "begins with " + std::string(match.prefix);
    explanation.Say("route '" + match.route->name + "': " + how);
  }
  for (const Route& route : table.routes) {
    if (&route == match.route) return;
    std::string list;
    for (const auto* group : {&route.prefixes, &route.paths}) {
      for (const std::string& each : *group) list += (list.empty() ? "" : ", ") + each;
    }
    explanation.Say("not route '" + route.name + "', which is for " + list)
        .With("passed", route.name);
  }
}

}  // namespace

// What it needs while the answer flows, and no more: a stream may be silent for minutes, and
// thousands of them at a time. All else was Begin's, whose frame is gone by then.
Task<Unit> Exchange::Run() {
  std::optional<Flow> flow = co_await Begin();
  if (!flow) co_return Unit{};
  const Duration idle = route->upstream->idle_timeout();
  WatchSilence();
  while (true) {
    Chunk chunk = flow->first.Pop();
    if (chunk.empty()) {
      if (flow->stream == nullptr) break;
      Result<Chunk> read = co_await flow->stream->Read(loop.Now() + idle);
      if (!read) {
        FinishAnswer(&read.error());
        co_return Unit{};
      }
      chunk = std::move(*read);
      if (chunk.empty()) break;
    }
    Result<Unit> written = co_await Forward(std::move(chunk));
    if (!written) co_return Unit{};  // OnStreamLost has said why
  }
  FinishAnswer(nullptr);
  co_return Unit{};
}

Task<std::optional<Exchange::Flow>> Exchange::Begin() {
  if (!FindRoute()) co_return std::nullopt;
  for (const auto& filter : route->filters) {
    Enter(filter->name());
    ++entered_;
    Verdict verdict = co_await filter->OnRequest(*this);
    if (verdict.refused()) {
      RefuseWith(verdict.refusal());
      co_return std::nullopt;
    }
  }
  Enter("upstream");
  Result<Unit> loaded = co_await LoadBody();
  if (!loaded) {
    RefuseWith(ToRefusal(loaded.error()));
    co_return std::nullopt;
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
    co_return std::nullopt;
  }
  if (!BeginAnswer(*answer)) co_return std::nullopt;
  request = Head();
  co_return Flow{std::move(answer->first), std::move(answer->stream)};
}

// `step` is a static text, or of a filter, which the table holds.
void Exchange::Enter(std::string_view step) {
  step_ = step;
  if (explanation != nullptr) explanation->Begin(step);
}

void Exchange::OnStoryEnd() noexcept {
  if (root_.thrown() != nullptr) {
    // A bug of ours ends this exchange, never the process.
    std::string what = "unknown";
    try {
      std::rethrow_exception(root_.thrown());
    } catch (const std::exception& thrown) {
      what = thrown.what();
    } catch (...) {  // NOLINT(bugprone-empty-catch): the name above says it
    }
    worker.metrics.OnInternalError(what);
    Abort(Outcome::End::kFailed, Refusal{.fault = Fault::kInternal,
                                         .message = "internal error; the relay's log has more"});
    outcome.why = std::move(what);
  }
  End();
}

bool Exchange::FindRoute() {
  Enter("route");
  Result<std::string> normal = NormalisePath(request.path());
  if (!normal) {
    RefuseWith(ToRefusal(normal.error()));
    return false;
  }
  path = std::move(*normal);
  if (std::optional<Reply> reply = worker.endpoints.Answer(request, path)) {
    outcome.end = Outcome::End::kComplete;
    if (explanation != nullptr) explanation->Answer(reply->status);
    Send(*reply);
    return false;
  }
  RouteTable::Match match = table->Find(path);
  if (explanation != nullptr) ExplainRoute(*table, match, *explanation);
  if (match.route != nullptr) {
    route = match.route;
    std::string rest(AfterPrefix(path, match.prefix));
    sent_path = std::exchange(path, std::move(rest));
    dialect = route->upstream->DialectOf(path);
  }
  // Also where the client took a route's prefix for the relay's own path: HEAD /api/hello.
  if (IsProbe(method, path) || IsProbe(method, sent_path)) {
    outcome.end = Outcome::End::kComplete;
    if (explanation != nullptr) explanation->Answer(200);
    Send(Reply{.content_type = ""});
    return false;
  }
  if (route != nullptr) return IsOpen() && Recognise();
  RefuseWith(Refusal{.fault = Fault::kNotFound,
                     .message = "no route for this path; see routes in relay.yaml",
                     .final = true});
  return false;
}

bool Exchange::IsOpen() {
  std::optional<std::string> why = worker.endpoints.Closed();
  if (!why) return true;
  RefuseWith(Refusal{.fault = Fault::kOverloaded,
                     .message = std::move(*why),
                     .retry_after = std::chrono::seconds(1)});
  return false;
}

bool Exchange::Recognise() {
  if (std::optional<Ask> known = route->upstream->Recognise(method, path)) {
    ask = std::move(*known);
    return true;
  }
  bool open = std::any_of(route->passthrough.begin(), route->passthrough.end(),
                          [&](const std::string& prefix) { return HasPrefix(path, prefix); });
  if (open) return true;
  RefuseWith(Refusal{.fault = Fault::kNotFound,
                     .message = "route '" + route->name + "' does not serve " + method + " " +
                                path +
                                "; if it should, list the path under passthrough in relay.yaml",
                     .final = true});
  return false;
}

bool Exchange::BeginAnswer(Answer& answer) {
  meter_ = std::move(answer.meter);
  transform_ = std::move(answer.transform);
  outcome.first_byte = loop.Now() - started_;
  std::string_view encoding = answer.head.Get("content-encoding");
  bool events = answer.event_stream && (encoding.empty() || encoding == "identity");
  if (!client_->head_sent()) {
    events_ = events;
    SendAnswerHead(answer);
    return true;
  }
  // A keep-alive went first, and promised a stream.
  outcome.committed = true;
  if (answer.head.status == 200 && events) return true;
  std::string said = "the upstream answered " + std::to_string(answer.head.status);
  outcome.end = Outcome::End::kFailed;
  outcome.why = said + " behind a 200";
  if (!answer.first.empty()) said += ": " + answer.first.ToString();
  BreakOff(Refusal{.fault = Fault::kReset, .message = std::move(said), .party = Party::kUpstream});
  return false;
}

void Exchange::SendAnswerHead(const Answer& answer) {
  Head head;
  head.status = answer.head.status;
  // What may be added to, by a keep-alive or an error event, has no length that is known.
  if (transform_ == nullptr && !events_) head.content_length = answer.head.content_length;
  std::string_view named = answer.head.Get("connection");
  head.fields.reserve(answer.head.fields.size() + 2);
  for (const Field& field : answer.head.fields) {
    bool stays = StaysHere(field.name);
    ForEachToken(named,
                 [&](std::string_view hop) { stays = stays || EqualsIgnoreCase(hop, field.name); });
    if (!stays) head.Borrow(field);
  }
  for (size_t i = entered_; i > 0; --i) route->filters[i - 1]->OnResponseHead(*this, head);
  CompleteHead(head);
  outcome.status = head.status;
  outcome.committed = true;
  bool bodiless = method == "HEAD" || head.status == 204 || head.status == 304;
  bool nothing_follows = answer.stream == nullptr && answer.first.empty();
  if (nothing_follows && !bodiless && !head.content_length) head.content_length = 0;
  client_->SendHead(head, bodiless || nothing_follows || head.content_length == 0U);
}

Stream::WriteOp Exchange::Forward(Chunk chunk) {
  WatchSilence();
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
  size_t n = std::min(chunk.size(), tail_.size());
  std::copy(tail_.begin() + static_cast<ptrdiff_t>(n), tail_.end(), tail_.begin());
  std::copy_n(chunk.data() + chunk.size() - n, n, tail_.end() - static_cast<ptrdiff_t>(n));
  client_->Send(std::move(chunk), false);
}

// `why`: what broke the upstream's answer off; null where its framing came to its end.
void Exchange::FinishAnswer(const Error* why) {
  silence_.Disarm();
  static const Error kTooEarly{Party::kUpstream, Fault::kTruncated,
                               "the upstream ended the stream before its last event", true};
  if (events_ && meter_ != nullptr) {
    // The dialect's own end decides, not the transport's.
    bool said_end = meter_->ended() || meter_->ended_error();
    if (why == nullptr && !said_end && !meter_->may_end()) why = &kTooEarly;
    if (why != nullptr && said_end && BetweenEvents()) why = nullptr;
  }
  if (why != nullptr) {
    outcome.end = Outcome::End::kUpstreamCut;
    outcome.why = why->what;
    BreakOff(ToRefusal(*why));
    return;
  }
  if (transform_ != nullptr) {
    Buffer rest;
    transform_->Finish(rest);
    while (!rest.empty()) SendPiece(rest.Pop());
  }
  outcome.end = Outcome::End::kComplete;
  client_->Send(Chunk(), true);
}

bool Exchange::BetweenEvents() const {
  std::string_view tail(tail_.data(), tail_.size());
  return tail.ends_with("\n\n") || tail.ends_with("\n\r\n") || tail.ends_with("\r\r");
}

void Exchange::BreakOff(const Refusal& refusal) {
  silence_.Disarm();
  std::string event = events_ ? ErrorEvent(dialect, refusal, id) : "";
  if (event.empty() || !BetweenEvents()) {
    client_->Reset(Fault::kReset);
    return;
  }
  bool clean = !EarlyEndLooksWhole(dialect);
  client_->Send(Chunk::Copy(event), clean);
  if (!clean) client_->Reset(Fault::kReset);
}

void Exchange::WatchSilence() {
  bool may = events_ || (!client_->head_sent() && ask.streams);
  if (may && !KeepAlive(dialect).empty()) silence_.ArmIn(worker.limits.silence);
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
    events_ = true;
    client_->SendHead(head, false);
  }
  if (BetweenEvents()) client_->Send(Chunk::Static(KeepAlive(dialect)), false);
  WatchSilence();
}

}  // namespace relay
