// SPDX-License-Identifier: MIT
// A real redis-server (or valkey-server), started by a test on a free port of the loopback and gone
// with it; and a wire to it that a test can cut, stall and slow down.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/net/socket.h"
#include "core/store/redis_store.h"
#include "tests/core/store/temp_folder.h"

namespace relay {

// The path of a program, or "".
inline std::string FindProgram(std::string_view name) {
  const char* path = std::getenv("PATH");
  std::stringstream folders(path == nullptr ? "/usr/bin" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::string program = folder + "/" + std::string(name);
    if (::access(program.c_str(), X_OK) == 0) return program;
  }
  return "";
}

// A connection that waits for each answer.
class RedisClient {
 public:
  explicit RedisClient(uint16_t port) {
    Address to = *Address::FromLiteral("127.0.0.1", port);
    int flags = ::fcntl(socket_.fd(), F_GETFL);
    ::fcntl(socket_.fd(), F_SETFL, flags & ~O_NONBLOCK);
    connected_ = ::connect(socket_.fd(), to.data(), to.size()) == 0;
  }
  RespReply Ask(const std::vector<std::string>& words) {
    std::string bytes = Raw(words);
    if (bytes.empty()) return {RespReply::Kind::kError, 0, "no answer", {}};
    RespReader reader;
    reader.Feed(bytes);
    return **reader.Next();
  }
  // The answer's bytes; "": there is none.
  std::string Raw(const std::vector<std::string>& words) {
    if (!connected_) return "";
    std::string command;
    std::vector<std::string_view> views(words.begin(), words.end());
    AppendCommand(command, views);
    EXPECT_EQ(::send(socket_.fd(), command.data(), command.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(command.size()));
    RespReader reader;
    std::string all;
    std::string some(65536, '\0');
    while (true) {
      ssize_t got = ::recv(socket_.fd(), some.data(), some.size(), 0);
      if (got <= 0) return "";
      all.append(some, 0, static_cast<size_t>(got));
      reader.Feed(std::string_view(some).substr(0, static_cast<size_t>(got)));
      auto reply = reader.Next();
      if (reply && *reply) return all;
    }
  }

 private:
  Socket socket_ = Socket::Open(*Address::FromLiteral("127.0.0.1", 0));
  bool connected_ = false;
};

class RedisServer {
 public:
  // `options` as on the command line: {"--requirepass", "secret"}.
  explicit RedisServer(std::vector<std::string> options = {},
                       const std::string& program = FindProgram("redis-server"))
      : program_(program), options_(std::move(options)) {
    EXPECT_FALSE(program_.empty()) << "redis-server is not installed";
    Start();
  }
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;
  ~RedisServer() { Stop(); }

  uint16_t port() const { return port_; }
  RedisOptions options() const {
    RedisOptions options;
    options.host = "127.0.0.1";
    options.port = port_;
    return options;
  }
  // On the same port and folder as before.
  void Start() {
    for (int attempt = 0; attempt < 20; ++attempt) {
      if (port_ == 0 || attempt > 0) port_ = FreePort();
      Launch();
      if (WaitUntilUp()) return;
      Stop();
    }
    ADD_FAILURE() << "redis-server does not start:\n" << Log();
  }
  void Stop() { End(SIGKILL); }
  void Signal(int signal) const { ::kill(process_, signal); }
  // What redis-cli would say to a command, in one line for each word.
  std::vector<std::string> Ask(const std::vector<std::string>& words) const {
    return WordsOf(RedisClient(port_).Ask(words));
  }
  static uint16_t FreePort() {
    Address any = *Address::FromLiteral("127.0.0.1", 0);
    Socket socket = Socket::Open(any);
    EXPECT_EQ(::bind(socket.fd(), any.data(), any.size()), 0);
    return socket.LocalAddress().port();
  }

 private:
  static std::vector<std::string> WordsOf(const RespReply& reply) {
    if (!reply.Is(RespReply::Kind::kArray)) {
      return {reply.Is(RespReply::Kind::kError) ? reply.text : reply.Text()};
    }
    std::vector<std::string> words;
    for (const RespReply& item : reply.items) words.push_back(item.Text());
    return words;
  }
  void Launch() {
    bool tls = std::ranges::find(options_, "--tls-cert-file") != options_.end();
    std::vector<std::string> words = {program_, "--bind",       "127.0.0.1",
                                      "--dir",  folder_.path(), "--save",
                                      "",       "--port",       tls ? "0" : std::to_string(port_)};
    if (tls) words.insert(words.end(), {"--tls-port", std::to_string(port_)});
    words.insert(words.end(), options_.begin(), options_.end());
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 1, folder_.File("log").c_str(),
                                       O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::posix_spawn_file_actions_adddup2(&actions, 1, 2);
    EXPECT_EQ(
        ::posix_spawn(&process_, program_.c_str(), &actions, nullptr, arguments.data(), environ),
        0);
    ::posix_spawn_file_actions_destroy(&actions);
  }
  bool WaitUntilUp() const {
    for (int i = 0; i < 1000; ++i) {
      Address to = *Address::FromLiteral("127.0.0.1", port_);
      Socket socket = Socket::Open(to);
      ::connect(socket.fd(), to.data(), to.size());
      pollfd ready{socket.fd(), POLLOUT, 0};
      if (::poll(&ready, 1, 1000) == 1 && socket.TakeError() == 0) return true;
      if (::waitpid(process_, nullptr, WNOHANG) != 0) return false;
      ::poll(nullptr, 0, 10);
    }
    return false;
  }
  void End(int signal) {
    if (process_ <= 0) return;
    ::kill(process_, signal);
    ::waitpid(process_, nullptr, 0);
    process_ = 0;
  }
  std::string Log() const {
    std::ifstream file(folder_.File("log"));
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

  TempFolder folder_;
  std::string program_;
  std::vector<std::string> options_;
  uint16_t port_ = 0;
  pid_t process_ = 0;
};

// One that answers as it is told, one connection after the other.
class FakeRedis {
 public:
  using Answer = std::function<std::string(const std::vector<std::string>& command)>;

  explicit FakeRedis(Answer answer) : answer_(std::move(answer)) {
    Address any = *Address::FromLiteral("127.0.0.1", 0);
    EXPECT_EQ(::bind(listener_.fd(), any.data(), any.size()), 0);
    EXPECT_EQ(::listen(listener_.fd(), 8), 0);
    thread_ = std::thread([this] { Serve(); });
  }
  FakeRedis(const FakeRedis&) = delete;
  FakeRedis& operator=(const FakeRedis&) = delete;
  ~FakeRedis() {
    stopping_ = true;
    thread_.join();
  }
  RedisOptions options() const {
    RedisOptions options;
    options.host = "127.0.0.1";
    options.port = listener_.LocalAddress().port();
    return options;
  }

 private:
  bool Readable(int file) const {
    pollfd ready{file, POLLIN, 0};
    while (!stopping_) {
      if (::poll(&ready, 1, 20) == 1) return true;
    }
    return false;
  }
  void Serve() {
    while (Readable(listener_.fd())) {
      Socket client(::accept(listener_.fd(), nullptr, nullptr));
      RespReader reader;
      std::string bytes(65536, '\0');
      while (Readable(client.fd())) {
        ssize_t got = ::recv(client.fd(), bytes.data(), bytes.size(), 0);
        if (got <= 0) break;
        reader.Feed(std::string_view(bytes).substr(0, static_cast<size_t>(got)));
        for (auto next = reader.Next(); next && *next; next = reader.Next()) {
          std::vector<std::string> command;
          for (const RespReply& word : (*next)->items) command.push_back(word.Text());
          std::string answer = answer_(command);
          if (::send(client.fd(), answer.data(), answer.size(), MSG_NOSIGNAL) < 0) break;
        }
      }
    }
  }

  Answer answer_;
  Socket listener_ = Socket::Open(*Address::FromLiteral("127.0.0.1", 0));
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace relay
