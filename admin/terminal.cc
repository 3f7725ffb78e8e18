// SPDX-License-Identifier: MIT
#include "admin/terminal.h"

#include <termios.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <iostream>

namespace relay {
namespace {

// As long as this lives a terminal does not show what is typed; also one at which somebody ends the
// program meanwhile shows it again.
class Hidden {
 public:
  Hidden() : hides_(::tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!hides_) return;
    caught = 0;
    struct sigaction note{};
    note.sa_handler = [](int number) {
      caught = number;
    };  // without SA_RESTART it ends the reading
    for (size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &note, &actions_[i]);
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &quiet);
  }
  Hidden(const Hidden&) = delete;
  Hidden& operator=(const Hidden&) = delete;
  ~Hidden() {
    if (!hides_) return;
    ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
    for (size_t i = 0; i < kSignals.size(); ++i) {
      ::sigaction(kSignals[i], &actions_[i], nullptr);
    }
    std::fputc('\n', stderr);
    if (caught != 0) ::raise(caught);
  }

 private:
  static constexpr std::array<int, 4> kSignals = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
  static inline volatile sig_atomic_t caught = 0;
  termios before_{};
  const bool hides_;
  std::array<struct sigaction, kSignals.size()> actions_{};
};

}  // namespace

bool AtTerminal() {
  return ::isatty(STDIN_FILENO) == 1;
}

std::optional<std::string> ReadLine(bool hidden) {
  std::optional<Hidden> hides;
  if (hidden) hides.emplace();
  std::string line;
  if (!std::getline(std::cin, line)) return {};
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
  return line;
}

}  // namespace relay
