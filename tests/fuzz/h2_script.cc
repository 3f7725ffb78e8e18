// SPDX-License-Identifier: MIT
#include "tests/fuzz/h2_script.h"

#include <algorithm>

namespace relay {
namespace {

constexpr uint8_t kEndHeaders = 0x4;

std::string Big(uint64_t value, int bytes) {
  std::string text;
  while (bytes-- > 0) text.push_back(static_cast<char>(value >> (8 * bytes)));
  return text;
}

uint64_t Number(std::string_view bytes) {
  uint64_t number = 0;
  for (char c : bytes) number = number << 8 | static_cast<unsigned char>(c);
  return number;
}

// RFC 7541 §5.1 with a prefix of 7 bits, §6.2.3 with a new name.
std::string HpackString(std::string_view text) {
  std::string out;
  size_t size = text.size();
  out += Big(std::min<size_t>(size, 127), 1);
  if (size >= 127) {
    for (size -= 127; size >= 128; size >>= 7) out += Big((size & 127) | 128, 1);
    out += Big(size, 1);
  }
  return out.append(text);
}

std::string HpackBlock(std::string_view lines) {
  std::string block;
  while (!lines.empty()) {
    std::string_view line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(line.size() + 1, lines.size()));
    size_t colon = std::min(line.find(": ", line.starts_with(':') ? 1 : 0), line.size());
    std::string_view value = line.substr(std::min(colon + 2, line.size()));
    block += "\x10" + HpackString(line.substr(0, colon)) + HpackString(value);
  }
  return block;
}

bool IsTchar(char c) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || kMarks.find(c) != kMarks.npos;
}

bool IsClean(std::string_view value) {
  for (char c : value) {
    auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f) return false;
  }
  return true;
}

}  // namespace

std::vector<ScriptStep> ReadScript(std::string_view input) {
  constexpr size_t kMostSteps = 400;
  std::vector<ScriptStep> steps;
  while (input.size() >= 4 && steps.size() < kMostSteps) {
    auto byte = [&](size_t at) { return static_cast<uint8_t>(input[at]); };
    ScriptStep step{StepKind(byte(0)), byte(1), byte(2), input.substr(4, byte(3))};
    input.remove_prefix(4 + step.payload.size());
    steps.push_back(step);
  }
  return steps;
}

std::string WireFrame(uint8_t type, uint8_t flags, StreamId stream, std::string_view payload) {
  return (Big(payload.size(), 3) + Big(type, 1) + Big(flags, 1) + Big(stream, 4)).append(payload);
}

std::string WireOf(const ScriptStep& step) {
  switch (step.kind) {
    case StepKind::kHead:
      return WireFrame(1, static_cast<uint8_t>((step.flags & 0x1) | kEndHeaders), step.stream,
                       HpackBlock(step.payload));
    case StepKind::kHeadPart:
      return WireFrame(1, step.flags & 0x1, step.stream, HpackBlock(step.payload));
    case StepKind::kRaw: return std::string(step.payload);
    case StepKind::kWait:
    case StepKind::kAnswer:
    case StepKind::kReset:
    case StepKind::kConsume:
    case StepKind::kGoAway:
    case StepKind::kOutput: return "";
    default:
      return WireFrame(static_cast<uint8_t>(step.kind), step.flags, step.stream, step.payload);
  }
}

ScriptEvents::Told& ScriptEvents::At(StreamId id) {
  Check(id != 0, "a stream without a number");
  return told[id];
}

void ScriptEvents::OnHead(StreamId id, Head head, bool end) {
  Told& stream = At(id);
  Check(!stream.head && !stream.over() && !stream.refused, "a second head", Text());
  stream.head = std::move(head);
  stream.end = end;
}

void ScriptEvents::OnData(StreamId id, Chunk data, bool end) {
  Told& stream = At(id);
  Check(stream.head && !stream.over() && !stream.refused, "data out of turn", Text());
  Check(end || !data.empty(), "no data", Text());
  stream.body.append(data.view());
  stream.unconsumed += data.size();
  stream.end = end;
}

void ScriptEvents::OnReset(StreamId id, Error, bool answerable) {
  Told& stream = At(id);
  Check(!stream.lost && !stream.left, "reset out of turn", Text());
  Check(!answerable || !stream.refused, "refused twice", Text());
  stream.refused = stream.refused || answerable;
  stream.lost = !answerable;
}

void ScriptEvents::OnRoom(StreamId id) {
  Check(told.contains(id) && !told[id].lost && !told[id].left, "room for a stream that is over");
  if (on_room) on_room(id);
}

std::string ScriptEvents::Text() const {
  std::string text;
  for (const auto& [id, stream] : told) {
    text += std::to_string(id) + ": ";
    if (stream.head) {
      text.append(stream.head->method).append(" ").append(stream.head->target);
      text += std::to_string(stream.head->status);
      for (const Field& field : stream.head->fields) {
        text.append("; ").append(field.name).append("=").append(field.value);
      }
    }
    // How much of a broken body was told before the fault is a matter of the pieces.
    if (!stream.refused && !stream.lost && !stream.left) text += " +" + stream.body;
    if (stream.end) text += " end";
    if (stream.refused) text += " refused";
    if (stream.lost) text += " lost";
    if (stream.left) text += " left";
    text += "\n";
  }
  return text;
}

size_t WireReader::Take(Codec& codec) {
  Buffer out;
  codec.TakeOutput(out);
  size_t taken = out.size();
  bytes_ += out.ToString();
  size_t begun = std::min(bytes_.size(), preface_.size());
  Check(std::string_view(bytes_).substr(0, begun) == preface_.substr(0, begun), "no preface");
  bytes_.erase(0, begun);
  preface_.remove_prefix(begun);
  std::string_view rest = bytes_;
  while (rest.size() >= 9 && rest.size() >= 9 + Number(rest.substr(0, 3))) {
    std::string_view payload = rest.substr(9, Number(rest.substr(0, 3)));
    Frame(static_cast<uint8_t>(rest[3]), payload);
    rest.remove_prefix(9 + payload.size());
  }
  Check(rest.empty(), "half a frame went out");
  bytes_.clear();
  return taken;
}

void WireReader::Frame(uint8_t type, std::string_view payload) {
  constexpr size_t kMostPayload = 16384;  // we never know of a larger one
  Check(!error_goaway_, "a frame behind the last GOAWAY", std::to_string(type));
  Check(payload.size() <= kMostPayload, "a frame is too large");
  Check(type <= 9 && type != 5 && type != 2, "a frame that we do not send");
  if (type == 0) data_sent_ += payload.size();
  if (type == 7 && Number(payload.substr(4, 4)) != 0) error_goaway_ = true;
}

void CheckHead(const Head& head, bool request) {
  if (request) {
    Check(!head.method.empty() && std::all_of(head.method.begin(), head.method.end(),
                                              [](char c) { return c >= 'A' && c <= 'Z'; }),
          "a method that is none", head.method);
    Check(head.target.starts_with('/'), "a path without a slash", head.target);
    for (char c : head.target) Check(c > ' ' && c <= '~' && c != '#', "a bad path", head.target);
    Check(!head.authority.empty() && IsClean(head.authority) &&
              head.authority.find_first_of(" /,@\t") == std::string_view::npos,
          "a bad authority", head.authority);
  } else {
    Check(head.status >= 200 && head.status <= 599, "a status that is none");
  }
  for (const Field& field : head.fields) {
    Check(!field.name.empty() && std::all_of(field.name.begin(), field.name.end(), IsTchar),
          "a bad name", field.name);
    Check(IsClean(field.value), "a control byte in a value", field.name);
    Check(field.value.empty() || (field.value.front() != ' ' && field.value.back() != ' ' &&
                                  field.value.front() != '\t' && field.value.back() != '\t'),
          "blanks around a value", field.name);
    for (std::string_view own :
         {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}) {
      Check(field.name != own, "a field of the connection", own);
    }
    if (field.name == "te") Check(field.value == "trailers", "a te that is none", field.value);
  }
}

}  // namespace relay
