// SPDX-License-Identifier: MIT
// An answer into the side readers: however it is cut, the same events, the same usage, the same
// end; and the events are those of a plain reading of the standard.
#include <memory>

#include "core/http/sse.h"
#include "tests/fuzz/fuzz.h"
#include "upstreams/usage.h"

namespace relay {
namespace {

// WHATWG HTML §9.2.6, over the whole text.
std::string ReferenceEvents(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  std::string events;
  std::string name;
  std::string data;
  bool has_data = false;
  while (!text.empty()) {
    size_t end = text.find_first_of("\r\n");
    if (end == std::string_view::npos) break;  // a line that does not end is none
    std::string_view line = text.substr(0, end);
    bool crlf = text.substr(end, 2) == "\r\n";
    text.remove_prefix(end + (crlf ? 2 : 1));
    if (line.empty()) {
      if (has_data) events += "[" + name + "|" + data + "]";
      name.clear();
      data.clear();
      has_data = false;
      continue;
    }
    size_t colon = line.find(':');
    std::string_view field = line.substr(0, colon);
    std::string_view value =
        colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (field == "event") name = value;
    if (field != "data") continue;
    if (has_data) data += '\n';
    data += value;
    has_data = true;
  }
  return events;
}

std::string Events(const CutText& pieces, bool& boundary) {
  SseSplitter splitter;
  std::string events;
  uint64_t count = 0;
  for (std::string_view piece : pieces) {
    splitter.Feed(piece, [&](const SseEvent& event) {
      ++count;
      events += "[" + std::string(event.name) + "|" + std::string(event.data) + "]";
    });
  }
  Check(splitter.events() == count, "another number of events");
  boundary = splitter.at_boundary();
  return events;
}

std::string First(const CutText& pieces) {
  FirstEvent first;
  for (std::string_view piece : pieces) {
    if (first.Feed(piece)) break;
  }
  return first.seen() ? first.name() + "|" + first.data() : "none";
}

using Maker = std::unique_ptr<UsageMeter> (*)(MeterSeed);

std::string Metered(Maker make, std::string_view type, std::string_view encoding, bool complete,
                    const CutText& pieces) {
  std::unique_ptr<UsageMeter> meter = make({"asked", 4000, true});
  meter->OnHead({200, type, encoding});
  for (std::string_view piece : pieces) {
    std::string own(piece);  // gone when the next comes
    meter->OnBytes(own);
    Check(own == piece, "a meter changed the bytes");
  }
  Usage usage = meter->Finish(complete);
  for (int64_t count : {usage.input, usage.output, usage.cache_read, usage.cache_write_5m,
                        usage.cache_write_1h, usage.reasoning, usage.searches}) {
    Check(count >= 0, "a count below nought", std::to_string(count));
  }
  std::string text;
  for (int64_t count : {usage.input, usage.output, usage.cache_read, usage.cache_write_5m,
                        usage.cache_write_1h, usage.reasoning, usage.searches, int64_t{usage.fast},
                        int64_t{usage.us_only}, int64_t{usage.estimated}, int64_t{meter->seen()},
                        int64_t{meter->ended()}, int64_t{meter->ended_error()}}) {
    text += std::to_string(count) + " ";
  }
  return text + usage.model;
}

}  // namespace

void Fuzz(std::string_view input) {
  bool boundary = false;
  std::string events = Events({input}, boundary);
  Check(events == ReferenceEvents(input), "other events than the standard's", events);
  std::string first = First({input});
  for (int way = 1; way < kCuts; ++way) {
    CutText pieces = Cut(input, way);
    bool other = false;
    Check(Events(pieces, other) == events, "the pieces matter", events);
    Check(other == boundary, "the pieces matter to the boundary");
    Check(First(pieces) == first, "the pieces matter to the first event", first);
  }
  for (Maker make : {MakeClaudeMeter, MakeGeminiMeter}) {
    for (std::string_view type : {"text/event-stream", "application/json"}) {
      for (bool complete : {true, false}) {
        std::string whole = Metered(make, type, "", complete, {input});
        for (int way = 1; way < kCuts; ++way) {
          std::string cut = Metered(make, type, "", complete, Cut(input, way));
          Check(cut == whole, "the pieces matter to the usage", whole + "\n" + cut);
        }
      }
    }
  }
}

}  // namespace relay
