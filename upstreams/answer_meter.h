// SPDX-License-Identifier: MIT
// What the meters have in common: decoding, telling events from JSON, finding the values that
// matter, and estimating what was not told. A vendor adds a list of paths and what they mean.
//
// Memory is bounded whatever the answer's size. Of a stream at most one cut event of 1 MiB is
// kept; a JSON answer is walked by a picker that keeps only where it is and the small value it is
// in, so `usage` is found behind megabytes of text or pictures without holding them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/json_picker.h"
#include "core/http/sse.h"
#include "upstreams/inflate.h"
#include "upstreams/usage.h"

namespace relay {

class AnswerMeter : public UsageMeter {
 public:
  ~AnswerMeter() override;
  void OnHead(const AnswerInfo& head) final;
  void OnBytes(std::string_view bytes) noexcept final;
  Usage Finish(bool complete) const noexcept final;
  bool seen() const final { return seen_; }
  // JSON tells its usage anywhere, so it ends with its last bracket; events in their last one.
  bool ended() const final { return form_ == Form::kJson ? picker_.complete() : ended_; }
  bool may_end() const final { return may_end_ || ended(); }
  bool ended_error() const final { return error_; }

 protected:
  AnswerMeter(MeterSeed seed, const JsonPaths& paths);

  // A value at one of the paths: its number, and as Found has it.
  virtual void OnValue(size_t path, std::string_view raw, size_t size) = 0;
  // A JSON answer that is no stream is complete.
  virtual void OnWhole() {}

  // The content of a JSON string that holds no escapes of importance (model names and the like).
  static std::string_view Unquote(std::string_view raw);
  // So many bytes of a JSON string were produced.
  void AddText(size_t quoted_size) { text_bytes_ += quoted_size > 2 ? quoted_size - 2 : 0; }

  Usage usage_;         // what was told so far
  bool seen_ = false;   // something was
  bool final_ = false;  // its counts of output are the last word
  bool ended_ = false;
  bool may_end_ = false;
  bool error_ = false;
  bool guess_input_ = false;  // a whole answer that tells no usage has used its input all the same

 private:
  enum class Form : uint8_t { kUnknown, kEvents, kJson };
  void Read(std::string_view bytes);
  void ReadJson(std::string_view bytes);
  void ReadEvent(const SseEvent& event);
  void GiveUp();

  const int64_t request_bytes_;
  JsonPicker picker_;
  SseSplitter splitter_;
  std::unique_ptr<Inflater> inflater_;
  uint64_t bytes_ = 0;       // of the body, as sent
  uint64_t text_bytes_ = 0;  // of what the model said
  Form form_ = Form::kUnknown;
  const bool generates_;
  bool active_ = false;  // a 2xx answer to a call that produces tokens
  bool readable_ = true;
  bool missed_ = false;  // an event was too large to be read
};

}  // namespace relay
