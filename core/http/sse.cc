// SPDX-License-Identifier: MIT
#include "core/http/sse.h"

#include <algorithm>

namespace relay {
namespace {

constexpr std::string_view kBom = "\xef\xbb\xbf";
constexpr uint8_t kBomDone = 4;
// "event: ", the longest that stands before a value which is wanted.
constexpr size_t kLongestPrefix = 7;
// What a stream keeps between events, so that many idle ones need little.
constexpr size_t kIdleCapacity = 1024;

// The place of the first LF or CR, or npos. In windows, so that a text with one of them only is
// not searched for the other to its end at each line.
size_t FindLineEnd(std::string_view text) {
  constexpr size_t kWindow = 512;
  for (size_t at = 0; at < text.size(); at += kWindow) {
    std::string_view window = text.substr(at, kWindow);
    size_t lf = window.find('\n');
    size_t end = std::min(lf, window.substr(0, lf).find('\r'));
    if (end != std::string_view::npos) return at + end;
  }
  return std::string_view::npos;
}

// Whether a line that begins so may be one of those that are read.
bool MayMatter(std::string_view line) {
  auto begins = [&](std::string_view name) {
    size_t common = std::min(line.size(), name.size());
    return line.substr(0, common) == name.substr(0, common);
  };
  return begins("data:") || begins("event:");
}

void Trim(std::string& text) {
  text.clear();
  if (text.capacity() > kIdleCapacity) text.shrink_to_fit();
}

}  // namespace

std::optional<SseEvent> SseSplitter::Next(std::string_view& piece) {
  if (returned_) Forget();
  if (bom_ != kBomDone) SkipBom(piece);
  while (!piece.empty()) {
    if (after_cr_) {
      after_cr_ = false;
      if (piece.front() == '\n') {
        piece.remove_prefix(1);
        continue;
      }
    }
    size_t end = FindLineEnd(piece);
    if (end == std::string_view::npos) {
      CutLine(piece);
      piece = {};
      break;
    }
    after_cr_ = piece[end] == '\r';
    std::string_view line = piece.substr(0, end);
    piece.remove_prefix(end + 1);
    if (line.empty() && !cut_) {
      std::optional<SseEvent> event = EndEvent();
      if (event) return event;
      continue;
    }
    boundary_ = false;
    if (!cut_) {
      EndLine(line);
      continue;
    }
    CutLine(line);
    EndLine(kept().line);
    KeepViews();
    Trim(kept().line);
    cut_ = false;
  }
  KeepViews();
  return std::nullopt;
}

// A byte order mark at the very start is no part of the first line.
void SseSplitter::SkipBom(std::string_view& piece) {
  while (!piece.empty() && bom_ != kBomDone) {
    if (bom_ == kBom.size()) {
      bom_ = kBomDone;
      boundary_ = true;
    } else if (piece.front() == kBom[bom_]) {
      ++bom_;
      piece.remove_prefix(1);
      boundary_ = bom_ == kBom.size();
    } else {
      std::string_view begun = kBom.substr(0, bom_);
      bom_ = kBomDone;
      if (!begun.empty()) CutLine(begun);
    }
  }
}

void SseSplitter::CutLine(std::string_view bytes) {
  cut_ = true;
  boundary_ = false;
  std::string& begun = kept().line;
  if (!MayMatter(begun)) return;
  // With one byte more than may be kept the event is oversized for certain.
  size_t most = kLongestPrefix + (oversized_ ? 0 : kMostKept + 1);
  begun += bytes.substr(0, most - std::min(most, begun.size()));
  if (begun.size() >= most && !oversized_) Oversize();
  if (oversized_ || !MayMatter(begun)) {
    // What kind of line it is can still be told from this.
    begun.resize(std::min(begun.size(), kLongestPrefix));
    if (begun.capacity() > kIdleCapacity) begun.shrink_to_fit();
  }
}

void SseSplitter::EndLine(std::string_view line) {
  size_t colon = line.find(':');
  std::string_view field = line.substr(0, colon);
  std::string_view value;
  if (colon != std::string_view::npos) {
    value = line.substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
  }
  if (field == "data") {
    if (has_data_ && !oversized_) {
      KeepViews();
      kept().data += '\n';
      kept().data += value;
      data_ = kept().data;
    } else {
      data_ = value;
    }
    has_data_ = true;
  } else if (field == "event") {
    name_ = value;
  }
  if (oversized_ || name_.size() + data_.size() > kMostKept) Oversize();
}

std::optional<SseEvent> SseSplitter::EndEvent() {
  boundary_ = true;
  if (!has_data_) {
    Forget();
    return std::nullopt;
  }
  ++events_;
  returned_ = true;
  return SseEvent{name_, data_, oversized_};
}

// What is shown from the current piece must outlive it.
void SseSplitter::KeepViews() {
  if (returned_ || oversized_) return;
  if (!name_.empty() && name_.data() != kept().name.data()) name_ = kept().name = name_;
  if (!data_.empty() && data_.data() != kept().data.data()) data_ = kept().data = data_;
}

SseSplitter::Kept& SseSplitter::kept() {
  if (kept_ == nullptr) kept_ = std::make_unique<Kept>();
  return *kept_;
}

void SseSplitter::Oversize() {
  oversized_ = true;
  name_ = data_ = {};
  if (kept_ == nullptr) return;
  kept_->name = std::string();
  kept_->data = std::string();
}

void SseSplitter::Forget() {
  returned_ = has_data_ = oversized_ = false;
  name_ = data_ = {};
  if (kept_ == nullptr) return;
  Trim(kept_->name);
  Trim(kept_->data);
}

bool FirstEvent::Feed(std::string_view piece) {
  if (seen_) return true;
  std::optional<SseEvent> event = splitter_.Next(piece);
  if (!event) return false;
  seen_ = true;
  name_ = event->name;
  data_ = event->data;
  return true;
}

}  // namespace relay
