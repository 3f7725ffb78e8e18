// SPDX-License-Identifier: MIT
// See wire.h. The texts have the shape of the Anthropic Messages API.
#include "tests/bench/wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace relay::bench {

namespace {

constexpr size_t kMessageBytes = 1024;
constexpr size_t kStampDigits = 19;
constexpr size_t kNumberDigits = 7;
constexpr std::string_view kDeltaName = "event: content_block_delta\n";
constexpr std::string_view kStampMark = "\"text\":\"t=";
constexpr std::string_view kNumberMark = " n=";

constexpr std::string_view kUsage =
    R"({"input_tokens":29,"cache_creation_input_tokens":59,"cache_read_input_tokens":12,)"
    R"("cache_creation":{"ephemeral_5m_input_tokens":59,"ephemeral_1h_input_tokens":0},)"
    R"("output_tokens":1,"service_tier":"standard"})";

// Prose and code with the escapes that a JSON scanner meets in real conversations.
constexpr std::string_view kProse =
    R"(The function below reads a file, splits it at \"\\n\" and counts words.\n\n```cpp\n)"
    R"(int Count(const std::string& path) {\n  std::ifstream in(path);\n  std::string word;\n)"
    R"(  int n = 0;\n  while (in >> word) ++n;\n  return n;\n}\n```\n\nIt is called once for each )"
    R"(name in the list; names that do not exist count as empty. Größe und Länge werden in )"
    R"(Bytes gezählt, nicht in Zeichen.\n)";

std::string Padded(uint64_t value, size_t digits) {
  std::string text = std::to_string(value);
  return std::string(digits > text.size() ? digits - text.size() : 0, '0') + text;
}

// `bytes` of kProse, repeated; never cut inside an escape or a multi-byte letter: filled up with
// dots.
std::string Prose(size_t bytes) {
  std::string text;
  text.reserve(bytes);
  while (text.size() + kProse.size() <= bytes) text += kProse;
  text.append(bytes - text.size(), '.');
  return text;
}

void Fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

}  // namespace

int64_t NowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

const std::string& MessageBody() {
  static const std::string body = [] {
    std::string head = R"({"id":"msg_01BenchBenchBenchBench","type":"message","role":"assistant",)"
                       R"("model":"claude-sonnet-4-5","content":[{"type":"text","text":")";
    std::string tail = R"("}],"stop_reason":"end_turn","stop_sequence":null,"usage":)";
    tail += kUsage;
    tail += "}";
    return head + Prose(kMessageBytes - head.size() - tail.size()) + tail;
  }();
  return body;
}

std::string RequestBody(size_t bytes, bool stream) {
  constexpr size_t kBlock = 4096;
  std::string body = R"({"model":"claude-sonnet-4-5","messages":[{"role":"user","content":[)";
  std::string tail =
      R"(]}],"metadata":{"user_id":"{\"device_id\":\"66528c00\",\"account_uuid\":\"\",)"
      R"(\"session_id\":\"e2ff4b14-0000-4000-8000-000000000001\"}"},"max_tokens":1024)";
  tail += stream ? R"(,"stream":true})" : "}";
  const std::string open = R"({"type":"text","text":")";
  const std::string close = R"("})";
  const size_t frame = open.size() + close.size() + 1;
  const auto room = [&] {
    size_t used = body.size() + tail.size() + frame;
    return bytes > used ? bytes - used : 0;
  };
  while (room() > kBlock + frame) body += open + Prose(kBlock) + close + ",";
  const size_t last = room() + 1;  // no comma after the last block
  return body + open + Prose(last) + close + tail;
}

std::string StreamHead() {
  std::string text = R"(event: message_start
data: {"type":"message_start","message":{"id":"msg_01BenchBenchBenchBench","type":"message",)"
                     R"("role":"assistant","model":"claude-sonnet-4-5","content":[],)"
                     R"("stop_reason":null,"stop_sequence":null,"usage":)";
  text += kUsage;
  text += R"(}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

)";
  return text;
}

std::string StreamTail() {
  return R"(event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},)"
         R"("usage":{"input_tokens":29,"cache_creation_input_tokens":59,)"
         R"("cache_read_input_tokens":12,"output_tokens":8}}

event: message_stop
data: {"type":"message_stop"}

)";
}

std::string DeltaEvent(uint32_t number, int64_t sent_ns) {
  std::string text(kDeltaName);
  text += R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",)";
  text += kStampMark;
  text += Padded(static_cast<uint64_t>(sent_ns), kStampDigits);
  text += kNumberMark;
  text += Padded(number, kNumberDigits);
  text += " words of an answer\"}}\n\n";
  return text;
}

std::optional<DeltaStamp> ReadDelta(std::string_view event) {
  if (!event.starts_with(kDeltaName)) return std::nullopt;
  const size_t mark = event.find(kStampMark, kDeltaName.size());
  if (mark == std::string_view::npos) return std::nullopt;
  const size_t stamp = mark + kStampMark.size();
  const size_t number = stamp + kStampDigits + kNumberMark.size();
  if (number + kNumberDigits > event.size()) return std::nullopt;
  const auto value = [&](size_t from, size_t digits) {
    int64_t sum = 0;
    for (char c : event.substr(from, digits)) sum = sum * 10 + (c - '0');
    return sum;
  };
  return DeltaStamp{static_cast<uint32_t>(value(number, kNumberDigits)),
                    value(stamp, kStampDigits)};
}

std::string AsChunk(std::string_view text) {
  char size[24];
  const int length = std::snprintf(size, sizeof size, "%zx\r\n", text.size());
  std::string chunk;
  chunk.reserve(text.size() + sizeof size);
  chunk.append(size, static_cast<size_t>(length));
  chunk += text;
  chunk += "\r\n";
  return chunk;
}

std::optional<std::string_view> HeaderValue(std::string_view head, std::string_view name) {
  size_t at = head.find("\r\n");
  while (at != std::string_view::npos) {
    const size_t start = at + 2;
    at = head.find("\r\n", start);
    std::string_view line =
        head.substr(start, at == std::string_view::npos ? std::string_view::npos : at - start);
    if (line.size() <= name.size() || line[name.size()] != ':') continue;
    if (strncasecmp(line.data(), name.data(), name.size()) != 0) continue;
    line.remove_prefix(name.size() + 1);
    while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
    while (!line.empty() && line.back() == ' ') line.remove_suffix(1);
    return line;
  }
  return std::nullopt;
}

int Listen(uint16_t& port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) Fail("socket");
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = Loopback(port);
  socklen_t size = sizeof address;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0) Fail("bind");
  if (listen(fd, 4096) != 0) Fail("listen");
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) Fail("getsockname");
  port = ntohs(address.sin_port);
  return fd;
}

void SetNoDelay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int StartConnect(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  SetNoDelay(fd);
  sockaddr_in address = Loopback(port);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  if (errno == EINPROGRESS) return fd;
  close(fd);
  return -1;
}

void PrepareProcess() {
  prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

}  // namespace relay::bench
