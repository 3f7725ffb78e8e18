// SPDX-License-Identifier: MIT
#include "core/store/redis_errors.h"

#include <algorithm>
#include <array>

#include "core/store/redis_connection.h"

namespace relay {
namespace {

struct Meaning {
  std::string_view mark;  // in the server's text
  std::string_view says;
};
constexpr std::string_view kDenied =
    "does not let this user do that; give it the rights ~relay:* +@all, and &relay:* where several "
    "relays share it";
constexpr std::string_view kNoChannel =
    "does not let this user use the channel on which relays tell each other of changes; permit it: "
    "ACL SETUSER <user> &relay:*";
// The words of Redis and Valkey (errorstats of `redis-cli info errorstats` names them), and of
// Upstash for its own limit.
constexpr std::array kMeanings = {
    Meaning{"WRONGPASS",
            "refuses user name and password; set REDIS_PASSWORD (and REDIS_USERNAME) "
            "to those of the server"},
    Meaning{"invalid password", "refuses the password; set REDIS_PASSWORD to the server's"},
    Meaning{"without any password configured",
            "has no password for this user, but one is configured here; leave it out"},
    Meaning{"no password is set", "has no password, but one is configured here; leave it out"},
    Meaning{"NOAUTH", "wants a password; set REDIS_PASSWORD"},
    Meaning{"access a channel", kNoChannel},
    Meaning{"access one of the channels", kNoChannel},
    Meaning{"can't publish", kNoChannel},
    Meaning{"NOPERM", kDenied},
    Meaning{"user executing the script can't", kDenied},
    Meaning{"READONLY", "is a read-only replica; give the address of the primary"},
    Meaning{"OOM ", "has no memory left (maxmemory); give it more, or another eviction policy"},
    Meaning{"LOADING", "is still loading its data"},
    Meaning{"MASTERDOWN", "is a replica that has lost its primary"},
    Meaning{"MISCONF", "cannot write its data to its disk; see the server's log"},
    Meaning{kPlanSpent,
            "has had all the commands that its plan allows; usage stays in memory until it takes "
            "commands again"},
    Meaning{"max number of clients", "has too many connections (maxclients)"},
    Meaning{"DB index is out of range", "has no database of that number"},
    Meaning{"MOVED ", "is a cluster, which relay does not speak with; take a single primary"},
    Meaning{"CROSSSLOT", "is a cluster, which relay does not speak with; take a single primary"},
    Meaning{"WRONGTYPE",
            "has something else under relay's names (relay:…); give relay a database "
            "of its own"},
    Meaning{"BUSY", "is busy with somebody's script"},
    Meaning{"unknown command", "does not know a command that relay needs (Redis 6 or newer does)"},
};

// What the server says itself may repeat what it was sent: only its first words.
std::string FirstWords(std::string_view text) {
  std::string words;
  for (char c : text.substr(0, std::min<size_t>(text.find_first_of("`'\""), 80))) {
    words += c >= ' ' && c <= '~' ? c : '.';
  }
  return words;
}

}  // namespace

std::string RedisName(const RedisOptions& options) {
  return "Redis at " + options.host + ":" + std::to_string(options.port);
}

bool RedisErrorPasses(std::string_view text) {
  constexpr std::array<std::string_view, 7> kPassing = {
      "LOADING", "OOM ", "MISCONF", "BUSY", "READONLY", "MASTERDOWN", "max number of clients"};
  return std::ranges::any_of(kPassing, [&](std::string_view mark) { return text.contains(mark); });
}

Error ExplainRedis(const RespReply& reply, const RedisOptions& options) {
  Error error{Party::kRelay, Fault::kInternal, RedisName(options) + " ", true};
  for (const Meaning& meaning : kMeanings) {
    if (reply.text.find(meaning.mark) == std::string::npos) continue;
    error.what += meaning.says;
    return error;
  }
  error.what += "answers '" + FirstWords(reply.text) + "'";
  return error;
}

}  // namespace relay
