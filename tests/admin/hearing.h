// SPDX-License-Identifier: MIT
// A command that is run in this process, and what it says.
#pragma once

#include <gtest/gtest.h>

#include <string>

namespace relay {

struct Said {
  int code = -1;
  std::string out;
  std::string err;
};

// `command()` returns the exit code.
template <class Command>
Said Hear(Command command) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Said said;
  said.code = command();
  said.out = testing::internal::GetCapturedStdout();
  said.err = testing::internal::GetCapturedStderr();
  return said;
}

}  // namespace relay
