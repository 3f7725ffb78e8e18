// SPDX-License-Identifier: MIT
// What a server sends, into replies: the same however the bytes are cut, within bounds, and read as
// the same again when they are written down. The pieces of the input make a command, too.
#include <optional>

#include "core/store/resp.h"
#include "tests/fuzz/fuzz.h"

namespace relay {
namespace {

constexpr RespLimits kLimits{.bytes = 4096, .items = 256};

struct Reading {
  std::vector<RespReply> replies;
  std::optional<std::string> fault;
};

size_t SizeOf(const RespReply& reply, int depth) {
  Check(depth <= 8, "nested too deep");
  size_t bytes = reply.text.size();
  for (const RespReply& item : reply.items) bytes += SizeOf(item, depth + 1);
  return bytes;
}

Reading Read(const CutText& pieces) {
  Reading reading;
  RespReader reader(kLimits);
  for (std::string_view piece : pieces) {
    reader.Feed(piece);
    while (true) {
      auto next = reader.Next();
      if (!next) {
        reading.fault = next.error().what;
        auto again = reader.Next();
        Check(!again && again.error().what == *reading.fault, "a fault that does not stay");
        return reading;
      }
      if (!*next) break;
      Check(SizeOf(**next, 0) <= kLimits.bytes, "a reply that is too large");
      reading.replies.push_back(std::move(**next));
    }
  }
  return reading;
}

void Write(const RespReply& reply, std::string& out) {
  auto line = [&out](char mark, const std::string& text) {
    out.append(1, mark).append(text).append("\r\n");
  };
  switch (reply.kind) {
    case RespReply::Kind::kNil: line('$', "-1"); return;
    case RespReply::Kind::kInteger: line(':', std::to_string(reply.integer)); return;
    case RespReply::Kind::kStatus: line('+', reply.text); return;
    case RespReply::Kind::kError: line('-', reply.text); return;
    case RespReply::Kind::kText:
      line('$', std::to_string(reply.text.size()));
      out.append(reply.text).append("\r\n");
      return;
    case RespReply::Kind::kArray:
      line('*', std::to_string(reply.items.size()));
      for (const RespReply& item : reply.items) Write(item, out);
  }
}

}  // namespace

void Fuzz(std::string_view input) {
  Reading whole = Read(Cut(input, 0));
  for (int way = 1; way < kCuts; ++way) {
    Reading cut = Read(Cut(input, way));
    Check(cut.replies == whole.replies, "other replies in pieces");
    Check(cut.fault.has_value() == whole.fault.has_value(), "another fault in pieces");
  }
  std::string written;
  for (const RespReply& reply : whole.replies) Write(reply, written);
  Reading again = Read({written});
  Check(!again.fault && again.replies == whole.replies, "written down it is another", written);

  CutText arguments = Cut(input, 2);
  if (arguments.empty() || arguments.size() > kLimits.items || input.size() > kLimits.bytes) return;
  std::string command;
  AppendCommand(command, arguments);
  Reading read = Read({command});
  Check(read.replies.size() == 1 && read.replies[0].items.size() == arguments.size(),
        "a command that is not its arguments", command);
  for (size_t i = 0; i < arguments.size(); ++i) {
    Check(read.replies[0].items[i].text == arguments[i], "another argument", command);
  }
}

}  // namespace relay
