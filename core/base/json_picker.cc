// SPDX-License-Identifier: MIT
#include "core/base/json_picker.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

namespace relay {
namespace {

// What an idle picker may hold on to.
constexpr size_t kIdleCapacity = 512;

bool IsSpace(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

bool EndsWord(char c) {
  return IsSpace(c) || c == ',' || c == ']' || c == '}' || c == ':';
}

}  // namespace

JsonPaths::JsonPaths(std::initializer_list<Path> paths) {
  assert(paths.size() <= 32);
  for (const Path& path : paths) {
    Steps& steps = paths_.emplace_back();
    steps.keep = path.keep;
    for (std::string_view rest = path.place; !rest.empty();) {
      size_t dot = std::min(rest.find('.'), rest.size());
      assert(steps.count < kMaxSteps);
      steps.names[steps.count++] = rest.substr(0, dot);
      rest.remove_prefix(std::min(dot + 1, rest.size()));
    }
    ending_[steps.count] |= uint32_t{1} << (paths_.size() - 1);
    most_steps_ = std::max(most_steps_, steps.count);
    all_ = all_ << 1 | 1;
  }
}

// Those of the paths whose step of that number is `name`.
uint32_t JsonPaths::AtStep(size_t step, std::string_view name, uint32_t among) const {
  uint32_t matching = 0;
  for (uint32_t rest = among; rest != 0; rest &= rest - 1) {
    const Steps& path = paths_[static_cast<size_t>(std::countr_zero(rest))];
    if (step < path.count && path.names[step] == name) matching |= rest & (~rest + 1);
  }
  return matching;
}

void JsonPicker::Reset() {
  where_ = Where::kValue;
  depth_ = 0;
  objects_ = 0;
  picking_ = JsonPaths::kNone;
  escaped_ = is_name_ = inside_ = returned_ = false;
  kept_.clear();
}

std::optional<JsonPicker::Found> JsonPicker::Next(std::string_view& piece) {
  if (returned_) {
    returned_ = false;
    kept_.clear();
    if (kept_.capacity() > kIdleCapacity) kept_.shrink_to_fit();
  }
  const char* at = piece.data();
  const char* end = at + piece.size();
  from_ = at;
  while (at != end && !stopped()) {
    if (!Step(at, end)) continue;
    std::optional<Found> found = Take(at);
    piece = {at, static_cast<size_t>(end - at)};
    return found;
  }
  if (picking_ != JsonPaths::kNone && !stopped()) {
    // The value goes on in the next piece.
    auto more = static_cast<size_t>(at - from_);
    size_ += more;
    if (size_ <= paths_->paths_[picking_].keep) {
      kept_.append(from_, more);
    } else {
      kept_.clear();
    }
  }
  piece = {};
  return std::nullopt;
}

// Takes at least one byte, or changes state. True: a value that is wanted ended before `at`.
bool JsonPicker::Step(const char*& at, const char* end) {
  switch (where_) {
    case Where::kString: return InString(at, end);
    case Where::kInside: return FindEnd(at, end);
    case Where::kWord:
      while (at != end && !EndsWord(*at)) ++at;
      return at != end && EndValue();
    case Where::kValue:
    case Where::kName:
    case Where::kBetween: break;
    case Where::kDone:
    case Where::kBroken: return false;
  }
  while (IsSpace(*at) || *at == ':') {
    if (++at == end) return false;
  }
  char c = *at;
  if (c == ',') {
    ++at;
    where_ = in_object() ? Where::kName : Where::kValue;
    return false;
  }
  if (c == '}' || c == ']') {
    ++at;
    if (depth_ == 0) {
      where_ = Where::kBroken;
      return false;
    }
    objects_ >>= 1;
    --depth_;
    return EndValue();
  }
  if (where_ == Where::kName) {
    is_name_ = true;
    name_size_ = 0;
    where_ = c == '"' ? Where::kString : Where::kBroken;
    ++at;
    return false;
  }
  return BeginValue(at++);
}

// Which paths lead to the value that begins at `at`, and whether it is one of those wanted.
bool JsonPicker::BeginValue(const char* at) {
  if (depth_ == 0) {
    live_[0] = paths_->all_;
  } else if (depth_ <= paths_->most_steps_) {
    std::string_view step = in_object() ? std::string_view(name_.data(), name_size_) : "[]";
    live_[depth_] = paths_->AtStep(depth_ - 1, step, live_[depth_ - 1]);
    uint32_t wanted = live_[depth_] & paths_->ending_[depth_];
    live_[depth_] &= ~wanted;
    if (wanted != 0 && picking_ == JsonPaths::kNone) {
      picking_ = static_cast<size_t>(std::countr_zero(wanted));
      picked_depth_ = depth_;
      from_ = at;
      size_ = 0;
    }
  }
  if (*at == '{' || *at == '[') return Open(*at);
  where_ = *at == '"' ? Where::kString : Where::kWord;
  is_name_ = false;
  return false;
}

bool JsonPicker::Open(char bracket) {
  if (depth_ == kMaxDepth) {
    where_ = Where::kBroken;
    return false;
  }
  if (depth_ >= paths_->most_steps_ || live_[depth_] == 0) {
    outside_ = depth_++;
    inside_ = true;
    where_ = Where::kInside;
    return false;
  }
  ++depth_;
  objects_ = objects_ << 1 | (bracket == '{' ? 1U : 0U);
  where_ = bracket == '{' ? Where::kName : Where::kValue;
  return false;
}

bool JsonPicker::FindEnd(const char*& at, const char* end) {
  while (at != end) {
    char c = *at++;
    if (c == '"') {
      is_name_ = false;
      where_ = Where::kString;
      return false;
    }
    if (c == '{' || c == '[') {
      if (depth_ == kMaxDepth) {
        where_ = Where::kBroken;
        return false;
      }
      ++depth_;
    } else if (c == '}' || c == ']') {
      if (--depth_ > outside_) continue;
      inside_ = false;
      return EndValue();
    }
  }
  return false;
}

bool JsonPicker::InString(const char*& at, const char* end) {
  const char* begin = at;
  if (escaped_) {
    escaped_ = false;
    ++at;
  }
  while (at != end) {
    // The quote that ends the string has an even number of backslashes before it.
    const auto* quote =
        static_cast<const char*>(std::memchr(at, '"', static_cast<size_t>(end - at)));
    const char* stop = quote == nullptr ? end : quote;
    const char* slash = stop;
    while (slash != at && slash[-1] == '\\') --slash;
    bool odd = (stop - slash) % 2 != 0;
    if (quote == nullptr) {
      escaped_ = odd;
      at = end;
      break;
    }
    at = quote + 1;
    if (odd) continue;
    if (is_name_) {
      AddToName(begin, quote);
      where_ = Where::kValue;
      return false;
    }
    if (!inside_) return EndValue();
    where_ = Where::kInside;
    return false;
  }
  if (is_name_) AddToName(begin, at);
  return false;
}

void JsonPicker::AddToName(const char* from, const char* to) {
  if (!names_matter()) return;
  size_t more = std::min(kLongestName - name_size_, static_cast<size_t>(to - from));
  std::memcpy(name_.data() + name_size_, from, more);
  name_size_ += more;
}

bool JsonPicker::EndValue() {
  where_ = depth_ == 0 ? Where::kDone : Where::kBetween;
  return picking_ != JsonPaths::kNone && depth_ == picked_depth_;
}

std::optional<JsonPicker::Found> JsonPicker::Take(const char* behind) {
  auto here = static_cast<size_t>(behind - from_);
  Found found{picking_, {}, size_ + here};
  if (found.size <= paths_->paths_[picking_].keep) {
    if (kept_.empty()) {
      found.raw = {from_, here};
    } else {
      kept_.append(from_, here);
      found.raw = kept_;
    }
  }
  picking_ = JsonPaths::kNone;
  returned_ = true;
  return found;
}

}  // namespace relay
