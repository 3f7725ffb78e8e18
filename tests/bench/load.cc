// SPDX-License-Identifier: MIT
// The load generator of the benchmark: one epoll loop, four kinds of run, one flat JSON object
// printed for each. Every answer is checked (answer_reader.h); a single wrong one makes the exit
// code 1.
//   bench_load closed  as many requests as C connections can make, each after its last answer
//   bench_load paced   each connection one request a period (jittered): latency when little is
//   going on bench_load stream  C connections, R streams each, E events each: events a second,
//   delay of an event bench_load idle    opens N1, N2, … streams that fall silent, and reads the
//   proxy's memory at each
// Options are listed in ParseOptions, their meaning in Options; README.md explains the figures.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "tests/bench/answer_reader.h"
#include "tests/bench/process_meter.h"
#include "tests/bench/wire.h"

namespace relay::bench {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr uint64_t kTooManyErrors = 100;

struct Options {
  std::string mode;
  uint16_t port = 0;
  std::string path = "/api/v1/messages";
  std::string key = "bench";
  std::string headers = "plain";  // or cli: what Claude Code sends
  size_t connections = 64;
  size_t body = 1024;
  double warmup = 0.3;  // seconds, of closed and paced
  double seconds = 2;   // measured after the warm-up
  double period_us = 20'000;
  uint32_t events = 400;
  int64_t interval_us = 0;
  uint32_t repeat = 1;
  std::vector<size_t> counts = {1000, 5000};
  double settle = 1.5;   // seconds between the last stream's start and reading memory
  double timeout = 120;  // of the whole run
  pid_t measure = 0;
};

// What Claude Code sends beside the ordinary headers; values shortened nowhere.
constexpr std::string_view kCliHeaders =
    "Accept: application/json\r\n"
    "X-Stainless-Arch: x64\r\nX-Stainless-Lang: js\r\nX-Stainless-OS: Linux\r\n"
    "X-Stainless-Package-Version: 0.128.0\r\nX-Stainless-Retry-Count: 0\r\n"
    "X-Stainless-Runtime: node\r\nX-Stainless-Runtime-Version: v26.12.1\r\n"
    "X-Stainless-Timeout: 600\r\n"
    "anthropic-dangerous-direct-browser-access: true\r\nx-app: cli\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\nConnection: keep-alive\r\n";
constexpr std::string_view kCliBetas =
    "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,"
    "per-turn-control-2026-07-01,mid-conversation-tool-changes-2026-07-01,"
    "thinking-token-count-2026-05-13,advanced-tool-use-2025-11-20,effort-2025-11-24";

// The bytes of every request of this run.
std::string RequestText(const Options& options) {
  const bool stream = options.mode == "stream" || options.mode == "idle";
  const std::string body = RequestBody(options.body, stream);
  const bool cli = options.headers == "cli";
  std::string text = "POST " + options.path + (cli ? "?beta=true" : "") + " HTTP/1.1\r\n";
  text += "host: 127.0.0.1:" + std::to_string(options.port) + "\r\n";
  text += "x-api-key: " + options.key + "\r\n";
  text += "user-agent: claude-cli/2.1.330 (external, sdk-cli)\r\n";
  text += "content-type: application/json\r\nanthropic-version: 2023-06-01\r\n";
  text += "x-claude-code-session-id: e2ff4b14-0000-4000-8000-000000000001\r\n";
  if (cli) {
    text += kCliHeaders;
    text += "anthropic-beta: ";
    text += kCliBetas;
    text += "\r\n";
  }
  if (options.mode == "stream") {
    text += "x-bench-events: " + std::to_string(options.events) + "\r\n";
    text += "x-bench-interval-us: " + std::to_string(options.interval_us) + "\r\n";
  }
  if (options.mode == "idle") text += "x-bench-hold: 1\r\n";
  text += "content-length: " + std::to_string(body.size()) + "\r\n\r\n";
  return text + body;
}

// The value below which `share` of the samples lie, in microseconds.
double Percentile(std::vector<uint32_t>& ns, double share) {
  if (ns.empty()) return 0;
  const auto rank = static_cast<size_t>(share * static_cast<double>(ns.size() - 1));
  const auto at = ns.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(ns.begin(), at, ns.end());
  return static_cast<double>(*at) / 1000;
}

// A flat JSON object, printed field by field.
class Report {
 public:
  void Add(std::string_view name, double value, int digits = 1) {
    std::printf("%s\"%.*s\":%.*f", first_ ? "{" : ",", static_cast<int>(name.size()), name.data(),
                digits, value);
    first_ = false;
  }
  void End() { std::printf("}\n"); }

 private:
  bool first_ = true;
};

struct Client {
  size_t index = 0;
  int fd = -1;
  bool connected = false;
  bool busy = false;
  size_t written = 0;    // of the request
  uint64_t answers = 0;  // on this connection
  uint32_t done = 0;     // on any connection
  int64_t began_ns = 0;
  int64_t due_ns = 0;
  AnswerReader reader;
};

// Connections, requests, timers; the kinds of run decide what happens when.
class Run {
 public:
  explicit Run(const Options& options)
      : options_(options), meter_(options.measure), request_(RequestText(options)) {}
  virtual ~Run() = default;

  // Runs to the end and prints; the exit code.
  int Go() {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    const int64_t limit = NowNs() + Nanos(options_.timeout);
    Start();
    std::array<epoll_event, 512> ready{};
    while (!over_) {
      FireTimers();
      if (over_) break;
      const int64_t now = NowNs();
      if (now >= limit) {
        Complain("timed out");
        errors_ += 1;
        break;
      }
      int64_t left = std::min(limit - now, kSecond);
      if (!timers_.empty()) left = std::clamp<int64_t>(timers_.top().when - now, 0, left);
      const timespec wait{left / kSecond, left % kSecond};
      const int count =
          epoll_pwait2(epoll_, ready.data(), static_cast<int>(ready.size()), &wait, nullptr);
      for (int i = 0; i < count && !over_; ++i) {
        const epoll_event& event = ready[static_cast<size_t>(i)];
        OnReady(*clients_[event.data.u32], event.events);
      }
    }
    Report report;
    Print(report);
    report.Add("reconnects", static_cast<double>(reconnects_), 0);
    report.Add("errors", static_cast<double>(errors_), 0);
    report.End();
    return errors_ == 0 ? 0 : 1;
  }

 protected:
  static int64_t Nanos(double seconds) { return static_cast<int64_t>(seconds * 1e9); }

  virtual void Start() = 0;
  virtual void OnConnected(Client& client) = 0;  // of the client's first connection
  virtual void OnAnswer(Client& client, int64_t now_ns) = 0;
  virtual void OnBytes(Client&) {}  // part of an answer came
  virtual void OnTimer(Client*) {}  // null: a timer of the run itself
  virtual void Print(Report& report) = 0;
  virtual uint32_t Deltas() const { return 0; }  // expected in each answer

  Client& AddClient() {
    clients_.push_back(std::make_unique<Client>());
    Client& client = *clients_.back();
    client.index = clients_.size() - 1;
    Open(client);
    return client;
  }

  void Begin(Client& client) {
    client.busy = true;
    client.written = 0;
    client.reader.Expect(Deltas());
    client.began_ns = NowNs();
    Push(client);
  }

  void At(int64_t when, const Client* client) {
    timers_.push({when, client == nullptr ? kRunTimer : client->index});
  }

  const Options& options_;
  ProcessMeter meter_;
  std::vector<std::unique_ptr<Client>> clients_;
  EventLog log_;
  bool over_ = false;
  uint64_t errors_ = 0;

 private:
  static constexpr size_t kRunTimer = ~size_t{0};
  struct Timer {
    int64_t when;
    size_t client;
    bool operator<(const Timer& other) const { return when > other.when; }
  };

  void Open(Client& client) {
    client.connected = false;
    client.answers = 0;
    client.fd = StartConnect(options_.port);
    if (client.fd < 0) return Fail(client, "cannot connect");
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.u32 = static_cast<uint32_t>(client.index);
    epoll_ctl(epoll_, EPOLL_CTL_ADD, client.fd, &event);
  }

  void Close(Client& client) {
    if (client.fd >= 0) close(client.fd);
    client.fd = -1;
  }

  void Complain(const std::string& why) {
    if (errors_ < 3)
      std::fprintf(stderr, "bench_load %s: %s\n", options_.mode.c_str(), why.c_str());
  }

  void Fail(Client& client, const std::string& why) {
    Complain(why);
    Close(client);
    if (++errors_ >= kTooManyErrors) over_ = true;
    if (!over_) At(NowNs() + kSecond / 20, &client);  // FireTimers opens it again
  }

  void Push(Client& client) {
    if (!client.connected || !client.busy || client.written == request_.size()) return;
    const ssize_t took = send(client.fd, request_.data() + client.written,
                              request_.size() - client.written, MSG_NOSIGNAL);
    if (took > 0) {
      client.written += static_cast<size_t>(took);
    } else if (errno != EAGAIN) {
      Lost(client);
    }
  }

  // The connection is gone: an error in the middle of an answer; between two answers servers may
  // close.
  void Lost(Client& client) {
    const bool mid_answer = client.busy && (client.reader.begun() || client.answers == 0);
    if (mid_answer || !client.connected) return Fail(client, "the connection was closed");
    ++reconnects_;
    Close(client);
    Open(client);
  }

  void OnReady(Client& client, uint32_t events) {
    if (client.fd < 0) return;
    if (!client.connected && (events & (EPOLLOUT | EPOLLIN)) != 0 && (events & EPOLLERR) == 0) {
      client.connected = true;
      if (client.busy) {
        client.written = 0;
        client.began_ns = NowNs();
        client.reader.Expect(Deltas());
      } else if (client.done == 0) {
        OnConnected(client);
      }
    }
    if (client.connected && (events & EPOLLOUT) != 0) Push(client);
    if (client.fd < 0 || (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0) return;
    ReadAll(client, (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
  }

  void ReadAll(Client& client, bool closing) {
    for (;;) {
      const ssize_t got = recv(client.fd, input_.data(), input_.size(), 0);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (got <= 0) return Lost(client);
      if (!client.busy) return Fail(client, "bytes that nobody asked for");
      const int64_t now = NowNs();
      const auto size = static_cast<size_t>(got);
      switch (client.reader.Take({input_.data(), size}, now, log_)) {
        case AnswerReader::Result::kBad: return Fail(client, client.reader.problem());
        case AnswerReader::Result::kMore: OnBytes(client); break;
        case AnswerReader::Result::kDone: {
          client.busy = false;
          ++client.answers;
          ++client.done;
          const bool again = client.reader.closes();
          if (again) {
            ++reconnects_;
            Close(client);
          }
          OnAnswer(client, now);
          if (again) return Open(client);
          break;
        }
      }
      // A short read has emptied the socket.
      if (over_ || client.fd < 0 || (!closing && size < input_.size())) return;
    }
  }

  void FireTimers() {
    while (!over_ && !timers_.empty() && timers_.top().when <= NowNs()) {
      const Timer timer = timers_.top();
      timers_.pop();
      if (timer.client == kRunTimer) {
        OnTimer(nullptr);
      } else if (Client& client = *clients_[timer.client]; client.fd < 0) {
        Open(client);
      } else {
        OnTimer(&client);
      }
    }
  }

  const std::string request_;
  int epoll_ = -1;
  uint64_t reconnects_ = 0;
  std::priority_queue<Timer> timers_;
  std::vector<char> input_ = std::vector<char>(64 * 1024);
};

// Time and CPU between two moments.
class Span {
 public:
  void Start(const ProcessMeter& meter) {
    cpu_ = -meter.CpuMicros();
    ns_ = -NowNs();
  }
  void Stop(const ProcessMeter& meter) {
    cpu_ += meter.CpuMicros();
    ns_ += NowNs();
  }
  double seconds() const { return static_cast<double>(ns_) / 1e9; }
  double cpu_us() const { return cpu_; }

  // Adds what `count` things in this span come to.
  void Print(Report& report, std::string_view per_second, double count) const {
    report.Add("seconds", seconds(), 3);
    report.Add(per_second, seconds() > 0 ? count / seconds() : 0);
    report.Add("cpu_us", count > 0 ? cpu_ / count : 0, 2);
    report.Add("busy_percent", seconds() > 0 ? cpu_ / seconds() / 1e4 : 0);
  }

 private:
  int64_t ns_ = 0;
  double cpu_ = 0;
};

// closed and paced.
class RequestRun : public Run {
 public:
  RequestRun(const Options& options, bool paced) : Run(options), paced_(paced) {}

 private:
  void Start() override {
    for (size_t i = 0; i < options_.connections; ++i) AddClient();
    At(NowNs() + Nanos(options_.warmup), nullptr);
  }

  void OnConnected(Client& client) override {
    if (!paced_) return Begin(client);
    client.due_ns = NowNs() + Pause();
    At(client.due_ns, &client);
  }

  void OnAnswer(Client& client, int64_t now_ns) override {
    if (measuring_) latencies_.push_back(static_cast<uint32_t>(now_ns - client.began_ns));
    if (!paced_) return Begin(client);
    client.due_ns = std::max(now_ns, client.due_ns + Pause());
    At(client.due_ns, &client);
  }

  void OnTimer(Client* client) override {
    if (client != nullptr) {
      if (!client->busy) Begin(*client);
    } else if (!measuring_) {
      measuring_ = true;
      latencies_.clear();
      span_.Start(meter_);
      At(NowNs() + Nanos(options_.seconds), nullptr);
    } else {
      span_.Stop(meter_);
      over_ = true;
    }
  }

  // Half to one and a half periods, so that connections do not fall into step.
  int64_t Pause() { return static_cast<int64_t>(options_.period_us * 1000 * jitter_(random_)); }

  void Print(Report& report) override {
    const auto count = static_cast<double>(latencies_.size());
    report.Add("requests", count, 0);
    span_.Print(report, "requests_per_s", count);
    report.Add("p50_us", Percentile(latencies_, 0.5));
    report.Add("p90_us", Percentile(latencies_, 0.9));
    report.Add("p99_us", Percentile(latencies_, 0.99));
  }

  bool paced_;
  bool measuring_ = false;
  Span span_;
  std::vector<uint32_t> latencies_;
  std::minstd_rand random_{1};
  std::uniform_real_distribution<double> jitter_{0.5, 1.5};
};

class StreamRun : public Run {
 public:
  using Run::Run;

 private:
  uint32_t Deltas() const override { return options_.events; }

  void Start() override {
    span_.Start(meter_);
    for (size_t i = 0; i < options_.connections; ++i) AddClient();
  }

  void OnConnected(Client& client) override { Begin(client); }

  void OnAnswer(Client& client, int64_t) override {
    if (client.done < options_.repeat) return Begin(client);
    if (++finished_ < options_.connections) return;
    span_.Stop(meter_);
    over_ = true;
  }

  void Print(Report& report) override {
    const auto count = static_cast<double>(log_.events);
    report.Add("events", count, 0);
    span_.Print(report, "events_per_s", count);
    report.Add("p50_us", Percentile(log_.delays_ns, 0.5));
    report.Add("p90_us", Percentile(log_.delays_ns, 0.9));
    report.Add("p99_us", Percentile(log_.delays_ns, 0.99));
  }

  size_t finished_ = 0;
  Span span_;
};

class IdleRun : public Run {
 public:
  using Run::Run;

 private:
  static constexpr size_t kOpening = 64;  // streams that may be starting at a time

  uint32_t Deltas() const override { return 1; }

  void Start() override {
    seen_.push_back(meter_.ReadMemory());
    OpenMore();
  }

  void OpenMore() {
    const size_t target = options_.counts[seen_.size() - 1];
    while (clients_.size() < target && clients_.size() - silent_ < kOpening) AddClient();
    if (silent_ == target) At(NowNs() + Nanos(options_.settle), nullptr);
  }

  void OnConnected(Client& client) override { Begin(client); }

  void OnBytes(Client& client) override {
    if (client.done > 0 || client.reader.deltas() == 0) return;
    client.done = 1;
    ++silent_;
    OpenMore();
  }

  void OnAnswer(Client&, int64_t) override {
    std::fprintf(stderr, "bench_load idle: a silent stream ended\n");
    ++errors_;
    over_ = true;
  }

  void OnTimer(Client*) override {
    seen_.push_back(meter_.ReadMemory());
    over_ = seen_.size() > options_.counts.size();
    if (!over_) OpenMore();
  }

  void Print(Report& report) override {
    for (size_t i = 0; i < seen_.size(); ++i) {
      const std::string name = i == 0 ? "start" : "at_" + std::to_string(options_.counts[i - 1]);
      report.Add(name + "_rss_kb", static_cast<double>(seen_[i].rss_kb), 0);
      report.Add(name + "_pss_kb", static_cast<double>(seen_[i].pss_kb), 0);
    }
    if (seen_.size() <= options_.counts.size() || options_.counts.size() < 2) return;
    const auto grown = static_cast<double>(seen_.back().pss_kb - seen_[1].pss_kb);
    report.Add("kb_per_stream",
               grown / static_cast<double>(options_.counts.back() - options_.counts.front()), 2);
    report.Add("last_rss_kb", static_cast<double>(seen_.back().rss_kb), 0);
  }

  size_t silent_ = 0;
  std::vector<Memory> seen_;  // at the start, then at each count
};

std::vector<size_t> ParseCounts(const char* text) {
  std::vector<size_t> counts;
  for (char* end = nullptr; *text != '\0'; text = *end == ',' ? end + 1 : end) {
    counts.push_back(std::strtoul(text, &end, 10));
  }
  return counts;
}

// False if there is something that is no option.
bool ParseOptions(int argc, char** argv, Options& options) {
  using Setter = std::function<void(const char*)>;
  const auto number = [](auto& to) -> Setter {
    return [&to](const char* value) {
      to = static_cast<std::remove_reference_t<decltype(to)>>(std::atof(value));
    };
  };
  const auto text = [](std::string& to) -> Setter {
    return [&to](const char* value) { to = value; };
  };
  const std::map<std::string_view, Setter> known = {
      {"--port", number(options.port)},
      {"--path", text(options.path)},
      {"--key", text(options.key)},
      {"--headers", text(options.headers)},
      {"--connections", number(options.connections)},
      {"--body", number(options.body)},
      {"--warmup", number(options.warmup)},
      {"--seconds", number(options.seconds)},
      {"--period-us", number(options.period_us)},
      {"--events", number(options.events)},
      {"--interval-us", number(options.interval_us)},
      {"--repeat", number(options.repeat)},
      {"--counts", [&](const char* value) { options.counts = ParseCounts(value); }},
      {"--settle", number(options.settle)},
      {"--timeout", number(options.timeout)},
      {"--measure", number(options.measure)},
  };
  if (argc < 2 || argc % 2 != 0) return false;
  options.mode = argv[1];
  for (int i = 2; i + 1 < argc; i += 2) {
    const auto option = known.find(argv[i]);
    if (option == known.end()) return false;
    option->second(argv[i + 1]);
  }
  return options.port != 0 && options.connections > 0 && options.events > 0 &&
         !options.counts.empty();
}

int Main(int argc, char** argv) {
  Options options;
  if (!ParseOptions(argc, argv, options)) {
    std::fprintf(stderr,
                 "usage: bench_load closed|paced|stream|idle --port N [--option value]...\n");
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  PrepareProcess();
  if (options.mode == "closed") return RequestRun(options, false).Go();
  if (options.mode == "paced") return RequestRun(options, true).Go();
  if (options.mode == "stream") return StreamRun(options).Go();
  if (options.mode == "idle") return IdleRun(options).Go();
  std::fprintf(stderr, "bench_load: unknown mode %s\n", options.mode.c_str());
  return 2;
}

}  // namespace
}  // namespace relay::bench

int main(int argc, char** argv) {
  return relay::bench::Main(argc, argv);
}
