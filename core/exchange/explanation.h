// SPDX-License-Identifier: MIT
// What would become of a request, told by the code that serves, step by step, as it decides. An
// exchange with an explanation is a rehearsal: whoever decides in it writes here, and takes, counts
// and sends nothing. One thread's.
#pragma once

#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/exchange/dialect.h"

namespace relay {

class Explanation {
 public:
  // One thing that was found: a sentence for people, and what programs may want to know of it.
  class Note {
   public:
    explicit Note(std::string_view text) { json_.BeginObject().Field("text", text); }
    template <class T>
    Note& With(std::string_view name, const T& value) {
      json_.Field(name, value);
      return *this;
    }
    std::string Json() const { return json_.text() + "}"; }

   private:
    JsonText json_;
  };

  // `key`: the name of the relay key that the request has, where it brings none itself; "": none.
  explicit Explanation(std::string key = "") : key_(std::move(key)) {}
  Explanation(const Explanation&) = delete;
  Explanation& operator=(const Explanation&) = delete;
  const std::string& key() const { return key_; }

  // What is said from now on is this step's: "route", a filter's name, "upstream".
  void Begin(std::string_view step);
  // The note lives as long as this.
  Note& Say(std::string_view text);
  // What it comes to, by a name: "route", "account". The last word counts.
  void Set(std::string_view name, std::string_view value);
  std::string Get(std::string_view name) const;  // "" where nothing was set
  // This step refuses the request.
  void Refuse(Dialect dialect, const Refusal& refusal);
  // Here it would wait so long. All who look behind see what there is by then.
  void Wait(Duration time) { waited_ += time; }
  Duration waited() const { return waited_; }
  // The relay answers it itself, and asks no upstream.
  void Answer(int status);
  // The head that would go out to `url`, without what must not be seen.
  struct Sent {
    std::string method;
    std::string url;
    std::vector<std::pair<std::string, std::string>> fields;
    size_t body_bytes = 0;
  };
  void Send(Sent sent) { sent_ = std::move(sent); }
  // The value of this field is not for eyes: what a configuration gives may be a credential.
  void Hide(std::string_view field) { hidden_.emplace_back(field); }
  bool Hides(std::string_view field) const;

  bool refused() const { return refusal_.has_value(); }
  const std::string& refused_by() const { return refused_by_; }  // a step
  // What the client would see; 0 where the upstream's answer decides.
  int status() const { return refusal_ ? StatusOf(*refusal_) : answered_; }
  const std::optional<Sent>& sent() const { return sent_; }
  // {"served":…,"route":…,"steps":[…],"request":…}
  std::string Json() const;

 private:
  struct Step {
    std::string name;
    std::list<Note> notes;
  };

  const std::string key_;
  std::list<Step> steps_;
  std::vector<std::pair<std::string, std::string>> results_;
  std::optional<Refusal> refusal_;
  std::string error_type_;  // of the refusal, in the client's dialect
  std::string refused_by_;
  Duration waited_{};
  int answered_ = 0;  // by the relay itself; 0: it is not
  std::optional<Sent> sent_;
  std::vector<std::string> hidden_;
};

}  // namespace relay
