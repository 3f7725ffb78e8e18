// SPDX-License-Identifier: MIT
// A second reader of HTTP/1.1 messages, written from RFC 9112 and the rules R2 to R5 alone, over
// whole texts and without any cleverness. The fuzz targets compare the codecs with it: where it
// sees one message, they must not see two.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace relay {

struct ReferenceBounds {
  size_t line = 0;    // the first line
  size_t head = 0;    // all of it
  size_t fields = 0;  // header fields
  uint64_t body = UINT64_MAX;
};

struct ReferenceMessage {
  std::string method;  // of a request
  std::string target;
  std::string authority;
  int status = 0;  // of an answer
  bool http10 = false;
  bool close = false;
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body;       // as far as it came
  bool complete = false;  // with its end
};

struct Reading {
  std::vector<ReferenceMessage> messages;  // whose heads are whole and right; no interim ones
  bool refused = false;                    // behind them, or in the last one's body, is a fault
  bool open = false;                       // the bytes end inside a message
  bool doubtful = false;                   // a strict reader may refuse what is valid here
};

// Pipelined requests, each read when the one before has been answered.
Reading ReadRequests(std::string_view bytes, const ReferenceBounds& bounds);
// All that a connection brings until it ends, as the answer to one request.
Reading ReadAnswer(std::string_view bytes, bool to_head, const ReferenceBounds& bounds);

}  // namespace relay
