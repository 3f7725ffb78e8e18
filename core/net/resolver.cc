// SPDX-License-Identifier: MIT
#include "core/net/resolver.h"

#include <netdb.h>
#include <uv.h>

namespace relay {
namespace {

std::vector<Address> WithPort(std::vector<Address> addresses, uint16_t port) {
  for (Address& address : addresses) address.set_port(port);
  return addresses;
}

std::unexpected<Error> Unresolved(const std::string& host, const std::string& why) {
  return Fail(Party::kUpstream, Fault::kConnect, "cannot resolve the name '" + host + "': " + why,
              true);
}

// RFC 8305 §4: the families take turns, so that one that is broken costs one attempt only.
std::vector<Address> Interleave(const std::vector<Address>& given) {
  std::vector<Address> first;
  std::vector<Address> second;
  for (const Address& address : given) {
    (address.v6() == given.front().v6() ? first : second).push_back(address);
  }
  std::vector<Address> mixed;
  for (size_t i = 0; i < std::max(first.size(), second.size()); ++i) {
    if (i < first.size()) mixed.push_back(first[i]);
    if (i < second.size()) mixed.push_back(second[i]);
  }
  return mixed;
}

}  // namespace

Result<std::vector<Address>> SystemLookup(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
  if (error != 0) return Unresolved(host, ::gai_strerror(error));
  std::vector<Address> addresses;
  for (addrinfo* item = list; item != nullptr; item = item->ai_next) {
    addresses.push_back(Address::FromSockaddr(item->ai_addr));
  }
  ::freeaddrinfo(list);
  return Interleave(addresses);
}

// One look-up on libuv's pool. Lives until the pool is done with it, whoever waits or not.
struct Resolver::Job {
  uv_work_t work{};
  Resolver* resolver = nullptr;  // null: orphaned
  Lookup lookup;
  std::string host;
  Result<std::vector<Address>> answer;
};

Resolver::Resolver(Loop& loop, Lookup lookup) : loop_(loop), lookup_(std::move(lookup)) {}

Resolver::~Resolver() {
  for (auto& [host, entry] : entries_) {
    if (entry.job == nullptr) continue;
    entry.job->resolver = nullptr;
    uv_cancel(reinterpret_cast<uv_req_t*>(&entry.job->work));  // works if no thread has begun it
  }
}

Task<Result<std::vector<Address>>> Resolver::Resolve(std::string host, uint16_t port,
                                                     TimePoint deadline) {
  if (std::optional<Address> literal = Address::FromLiteral(host, port)) {
    co_return std::vector<Address>{*literal};
  }
  while (true) {
    Entry& entry = Find(host);
    bool fresh = loop_.Now() < entry.fresh_until;
    if (!fresh && entry.job == nullptr) LookUp(host, entry);
    if (!entry.addresses.empty() && loop_.Now() < entry.usable_until) {
      co_return WithPort(entry.addresses, port);
    }
    if (fresh && entry.failed) co_return std::unexpected(entry.why);
    bool answered = co_await entry.answered.Wait(deadline);
    if (!answered) {
      co_return Fail(Party::kUpstream, Fault::kTimeout,
                     "the name '" + host + "' was not resolved in time", true);
    }
  }
}

Resolver::Entry& Resolver::Find(const std::string& host) {
  auto at = entries_.find(host);
  if (at != entries_.end()) return at->second;
  MakeRoom();
  return entries_.try_emplace(host, loop_).first->second;
}

void Resolver::MakeRoom() {
  // Names come from the configuration, so this is rare and need not be clever. An entry with a
  // look-up under way stays: somebody may wait for it.
  for (auto at = entries_.begin(); at != entries_.end() && entries_.size() >= kNames;) {
    at = at->second.job == nullptr ? entries_.erase(at) : std::next(at);
  }
}

void Resolver::LookUp(const std::string& host, Entry& entry) {
  ++lookups_;
  auto* job = new Job{.resolver = this, .lookup = lookup_, .host = host, .answer = {}};
  job->work.data = job;
  entry.job = job;
  uv_queue_work(
      loop_.uv(), &job->work,
      [](uv_work_t* work) {
        auto* self = static_cast<Job*>(work->data);
        self->answer = self->lookup(self->host);
      },
      [](uv_work_t* work, int status) {
        std::unique_ptr<Job> self(static_cast<Job*>(work->data));
        if (status == 0 && self->resolver != nullptr) self->resolver->OnAnswer(*self);
      });
}

void Resolver::OnAnswer(Job& job) {
  Entry& entry = entries_.at(job.host);
  entry.job = nullptr;
  bool good = job.answer && !job.answer->empty();
  entry.failed = !good;
  entry.fresh_until = loop_.Now() + (good ? kFresh : kFailureFresh);
  if (good) {
    entry.addresses = *std::move(job.answer);
    entry.usable_until = entry.fresh_until + kStale;
  } else if (!job.answer) {
    entry.why = job.answer.error();
  } else {
    entry.why = Unresolved(job.host, "it has no address").error();
  }
  entry.answered.NotifyAll();
}

}  // namespace relay
