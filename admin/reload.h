// SPDX-License-Identifier: MIT
// relay.yaml read anew while the relay serves. The file is checked and its tests are run on a
// thread beside; only when all is well is it put in force, between two turns of each worker. A file
// that is not good changes nothing.
#pragma once

#include <deque>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "admin/file_watch.h"
#include "admin/services.h"
#include "core/async/loop.h"
#include "core/config/yaml.h"

namespace relay {

// What came of a file.
struct ReloadOutcome {
  struct Change {
    std::string text;            // "key 'bob' is added"
    bool needs_restart = false;  // what is in force stays until then
  };
  std::vector<std::string> problems;  // with line and column; none: the file is good
  bool tests_failed = false;          // they are the problems
  std::vector<std::string> notes;     // warnings, and what is left out
  std::vector<Change> changes;        // of what was in force; none where there are problems

  bool good() const { return problems.empty(); }
  // The whole of it, for the commands that ask.
  std::string Json() const;
};

// What can change only with the process stays as it is in `running`: where the relay listens, how
// many workers it has, its store and its secrets.
std::shared_ptr<const Config> KeepWhatStays(const Config& running, const Config& fresh);

class Reloader {
 public:
  using Done = std::function<void(const ReloadOutcome&)>;

  // Everything outlives this. `path` is that of the file which was read at the start. `told` hears
  // of every outcome of Reload, on the loop.
  Reloader(Loop& loop, Services& services, std::string path, Environment environment, Done told);
  Reloader(const Reloader&) = delete;
  Reloader& operator=(const Reloader&) = delete;
  // Waits for the check that is under way.
  ~Reloader();

  // Reads the file and puts it in force if it is good. `cause` is for the log: "SIGHUP". `done` is
  // called on the loop, after this has returned; one that is asked while another is under way
  // begins when that has ended. All calls are made on the loop's thread.
  void Reload(std::string cause, Done done = {});
  // What the file at that path ("": that of the start) would change. Changes nothing.
  void Compare(std::string path, Done done);

 private:
  struct Job {
    std::string cause;  // "": only compares
    std::string path;
    std::vector<Done> done;
  };
  // A file with all that can be found out of it beside the loop.
  struct Checked {
    std::shared_ptr<const Config> config;
    ReloadOutcome outcome;
  };

  void Begin();
  Checked Check(const std::string& path) const;
  void Finish(Checked checked);
  void Apply(const std::string& cause, Checked& checked);
  void WatchFiles(std::initializer_list<const Config*> configs);
  void LogOutcome(const std::string& cause, const ReloadOutcome& outcome) const;

  Loop& loop_;
  Services& services_;
  const std::string path_;
  const Environment environment_;
  const Done told_;
  FileWatch watch_;
  std::deque<Job> jobs_;  // the first is under way
  std::thread thread_;    // of its check
  Counter applied_;
  Counter refused_;
  Gauge successful_;
  Gauge when_;
  Gauge restart_;
};

}  // namespace relay
