// SPDX-License-Identifier: MIT
#include "upstreams/answer_meter.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "core/http/message.h"

namespace relay {

AnswerMeter::AnswerMeter(MeterSeed seed, const JsonPaths& paths)
    : request_bytes_(std::max<int64_t>(seed.request_bytes, 0)),
      picker_(paths),
      generates_(seed.generates) {
  usage_.model = std::move(seed.model);
}

AnswerMeter::~AnswerMeter() = default;

void AnswerMeter::OnHead(const AnswerInfo& head) {
  active_ = generates_ && head.status >= 200 && head.status < 300;
  if (!active_ || head.content_encoding.empty()) return;
  if (EqualsIgnoreCase(head.content_encoding, "identity")) return;
  inflater_ = Inflater::Make(head.content_encoding);
  readable_ = inflater_ != nullptr;
}

void AnswerMeter::OnBytes(std::string_view bytes) noexcept {
  if (!active_) return;
  bytes_ += bytes.size();
  if (!readable_) return;
  try {
    if (inflater_ == nullptr) {
      Read(bytes);
      return;
    }
    char room[size_t{16} << 10];
    while (size_t size = inflater_->Next(bytes, room)) Read({room, size});
    if (inflater_->failed()) GiveUp();
  } catch (const std::exception&) {
    GiveUp();  // no memory: the traffic goes on, the count becomes a guess
  }
}

// From here on only the size of the answer is known.
void AnswerMeter::GiveUp() {
  readable_ = false;
  inflater_.reset();
}

void AnswerMeter::Read(std::string_view bytes) {
  if (form_ == Form::kUnknown) {
    // The content type tells little: Claude Code, for one, takes any for a stream.
    size_t first = bytes.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos) return;
    bool json = bytes[first] == '{' || bytes[first] == '[';
    form_ = json ? Form::kJson : Form::kEvents;
  }
  if (form_ == Form::kJson) {
    ReadJson(bytes);
  } else {
    splitter_.Feed(bytes, [this](const SseEvent& event) { ReadEvent(event); });
  }
}

void AnswerMeter::ReadJson(std::string_view bytes) {
  if (picker_.complete()) return;
  picker_.Feed(bytes, [this](const JsonPicker::Found& found) {
    OnValue(found.path, found.raw, found.size);
  });
  if (picker_.complete()) OnWhole();
}

void AnswerMeter::ReadEvent(const SseEvent& event) {
  if (event.oversized) {
    missed_ = true;
    return;
  }
  picker_.Reset();
  picker_.Feed(event.data, [this](const JsonPicker::Found& found) {
    OnValue(found.path, found.raw, found.size);
  });
}

Usage AnswerMeter::Finish(bool complete) const noexcept {
  Usage usage = usage_;
  if (!active_) return usage;
  uint64_t said = readable_ ? text_bytes_ : std::max(text_bytes_, bytes_);
  if (seen_) {
    if (!final_ && !(complete && may_end_)) {
      usage.output = std::max(usage.output, TokensOfBytes(said));
      usage.estimated = true;
    }
    return usage;
  }
  // Nothing was told. A whole answer that says nothing cost nothing, and so did an error in place
  // of an answer.
  bool used = readable_ && error_
                  ? text_bytes_ > 0
                  : !complete || !readable_ || missed_ || text_bytes_ > 0 || guess_input_;
  if (!used) return usage;
  usage.input = TokensOfBytes(static_cast<uint64_t>(request_bytes_));
  usage.output = guess_input_ ? 0 : TokensOfBytes(said);
  usage.estimated = true;
  return usage;
}

std::string_view AnswerMeter::Unquote(std::string_view raw) {
  if (raw.size() < 2 || raw.front() != '"') return {};
  return raw.substr(1, raw.size() - 2);
}

}  // namespace relay
