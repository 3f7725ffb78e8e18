// SPDX-License-Identifier: MIT
// The side reader that finds out what an exchange used. A meter sees every byte of an answer,
// changes and delays none, keeps a bounded state, and its troubles disturb nobody: what it cannot
// read it estimates.
#pragma once

#include <string_view>

#include "core/store/usage.h"

namespace relay {

// What a meter needs of an answer's head.
struct AnswerInfo {
  int status = 0;
  std::string_view content_type;
  std::string_view content_encoding;  // "" or "identity": plain
};

class UsageMeter {
 public:
  virtual ~UsageMeter() = default;
  // Once, before any byte.
  virtual void OnHead(const AnswerInfo& head) = 0;
  // The body as it came, in any pieces, before they are sent on.
  virtual void OnBytes(std::string_view bytes) noexcept = 0;
  // The sum. `complete`: the answer ended as its framing promised; else it was cut, by whomever.
  // May be called more than once and before the end, for what is known so far. An answer that is
  // not 2xx used nothing.
  virtual Usage Finish(bool complete) const noexcept = 0;
  // The upstream has told some usage.
  virtual bool seen() const = 0;
  // The dialect's own end has come: message_stop, finishReason, a whole JSON text.
  virtual bool ended() const = 0;
  // What came may be the end, if the transport ends here as well: some of the answers that were
  // asked for at once are whole, and others never began.
  virtual bool may_end() const { return ended(); }
  // An error event came inside the answer.
  virtual bool ended_error() const = 0;
};

}  // namespace relay
