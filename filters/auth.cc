// SPDX-License-Identifier: MIT
// auth: finds the relay key wherever clients put one, takes every credential out of the request so
// that none goes upstream, and says what the key may use.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/percent.h"
#include "core/config/wording.h"
#include "core/exchange/client_address.h"
#include "core/exchange/exchange.h"
#include "core/exchange/explanation.h"
#include "core/exchange/worker.h"
#include "core/store/keys.h"
#include "core/store/wrong_keys.h"
#include "filters/read_request.h"
#include "filters/registry.h"

namespace relay {
namespace {

struct AuthOptions {
  At<ProviderKind> service;
};

void Bind(Fields& f, AuthOptions& o) {
  f.Required("service", o.service, "what a key must be allowed to use");
}

void CheckSite(const AuthOptions& o, const FilterSite& site, Problems& problems) {
  if (site.cluster == nullptr || site.cluster->provider == o.service.value) return;
  problems.Add(o.service.place, "'service' of filter 'auth' is " +
                                    std::string(NameOf(o.service.value)) + ", but cluster " +
                                    Quote(site.cluster->name) + " is of provider " +
                                    std::string(NameOf(site.cluster->provider)));
}

// The relay keys among what a client presents: none, one, or more than it should.
class Presented {
 public:
  explicit Presented(const KeyDirectory* keys) : keys_(keys) {}
  void Offer(std::string_view credential) {
    if (keys_ == nullptr || credential.empty()) return;
    any_ = true;
    std::shared_ptr<const KeyRecord> found = keys_->Find(credential);
    if (found == nullptr) return;
    several_ = several_ || (key_ != nullptr && key_ != found);
    key_ = std::move(found);
  }
  // As if the key of that name had come.
  void Play(std::string_view name) {
    if (keys_ == nullptr || name.empty()) return;
    any_ = true;
    key_ = keys_->FindByName(name);
  }
  // Whether there was a credential at all, right or wrong.
  bool any() const { return any_; }
  bool several() const { return several_; }
  const std::shared_ptr<const KeyRecord>& key() const { return key_; }

 private:
  const KeyDirectory* keys_;
  std::shared_ptr<const KeyRecord> key_;
  bool any_ = false;
  bool several_ = false;
};

constexpr NameSet kKeyFields({"x-api-key", "x-goog-api-key", "api-key"});

void TakeFields(Head& head, Presented& presented) {
  std::erase_if(head.fields, [&](const Field& field) {
    if (EqualsIgnoreCase(field.name, "authorization")) {
      std::optional<std::string_view> bearer = BearerOf(field.value);
      // A private Space's own token (Hugging Face); the platform wants it in this very place.
      if (bearer && !bearer->starts_with("hf_")) presented.Offer(*bearer);
      return true;
    }
    if (kKeyFields.Has(field.name)) {
      presented.Offer(field.value);
      return true;
    }
    return false;
  });
}

// Takes ?key= out of the target, in whatever spelling. It is a credential only where the vendor's
// API has it, but must not go upstream from anywhere.
void TakeQuery(Head& head, bool counts, Presented& presented) {
  std::string_view query = head.query();
  if (query.empty()) return;
  std::string kept;
  bool taken = false;
  for (size_t at = 0; at <= query.size();) {
    size_t end = std::min(query.find('&', at), query.size());
    std::string_view pair = query.substr(at, end - at);
    at = end + 1;
    size_t equals = std::min(pair.find('='), pair.size());
    if (PercentDecode(pair.substr(0, equals)) == "key") {
      taken = true;
      if (counts) presented.Offer(PercentDecode(pair.substr(std::min(equals + 1, pair.size()))));
    } else {
      kept += (kept.empty() ? '?' : '&');
      kept += pair;
    }
  }
  if (taken) head.target = head.Keep(std::string(head.path()) + kept);
}

Verdict Forbid(std::string message) {
  return Verdict::Refuse(
      Refusal{.fault = Fault::kForbidden, .message = std::move(message), .final = true});
}

Verdict JudgeModel(const Exchange& x) {
  if (x.ask.model.empty() || x.facts.key->MayUseModel(x.ask.model)) return Verdict::Continue();
  return Forbid("key '" + x.facts.key->name + "' may not use model " + Quote(x.ask.model) +
                "; choose another or ask the relay's operator");
}

Task<Verdict> JudgeModelInBody(Exchange& x) {
  Result<Unit> read = co_await ReadRequest(x);
  if (!read) co_return Verdict::Refuse(ToRefusal(read.error()));
  co_return JudgeModel(x);
}

class AuthFilter final : public Filter {
 public:
  AuthFilter(const AuthOptions& o, const FilterContext&)
      : service_(NameOf(o.service.value)), query_(o.service.value == ProviderKind::kGemini) {}
  std::string_view name() const override { return "auth"; }

  Task<Verdict> OnRequest(Exchange& x) override {
    Presented presented(x.worker.keys.get());
    if (x.explanation != nullptr) presented.Play(x.explanation->key());
    TakeFields(x.request, presented);
    TakeQuery(x.request, query_, presented);
    if (presented.several()) {
      return Verdict::Refuse(
          Refusal{.fault = Fault::kMalformed,
                  .message = "the request holds two different relay keys; send one",
                  .final = true});
    }
    const KeyRecord* key = presented.key().get();
    if (key == nullptr) return RefuseUnknown(x, presented.any());
    x.facts.key = presented.key();
    if (x.explanation != nullptr) x.explanation->Set("key", key->name);
    if (std::string why = WhyNot(x, *key); !why.empty()) {
      return Forbid("key '" + key->name + "' " + why);
    }
    if (x.explanation != nullptr) {
      x.explanation->Say("key '" + key->name + "' may use " + std::string(service_));
    }
    if (!key->limits_models()) return Verdict::Continue();
    if (!x.ask.metered) {
      return Forbid("key '" + key->name +
                    "' is limited to some models and may use only paths that name one");
    }
    return x.ask.model.empty() ? JudgeModelInBody(x) : JudgeModel(x);
  }

 private:
  static std::optional<IpAddress> AddressOf(const Exchange& x) {
    return ClientAddress(x.peer(), x.request, x.worker.trusted_proxies);
  }

  // One answer to no key and to a wrong one: nothing to learn by guessing. It names no header:
  // Claude Code takes a text with "x-api-key" for its own "Not logged in", and shows that.
  static Verdict RefuseUnknown(Exchange& x, bool wrong) {
    if (x.explanation != nullptr) TellUnknown(x, wrong);
    std::optional<IpAddress> from = wrong ? AddressOf(x) : std::nullopt;
    std::optional<Duration> wait;
    if (from && x.worker.wrong_keys != nullptr) {
      WrongKeys& counts = *x.worker.wrong_keys;
      int allowed = x.worker.limits.wrong_keys;
      wait = x.explanation != nullptr ? counts.Look(*from, allowed, x.loop.Now())
                                      : counts.Add(*from, allowed, x.loop.Now());
    }
    if (wait) {
      return Verdict::Refuse(Refusal{.fault = Fault::kRateLimited,
                                     .message = "too many wrong relay keys came from your address; "
                                                "wait, and send the one you were given",
                                     .retry_after = wait});
    }
    return Verdict::Refuse(Refusal{.fault = Fault::kUnauthenticated,
                                   .message = "no valid relay key; send the one you were given "
                                              "as API key or bearer token, unchanged",
                                   .final = true});
  }

  static void TellUnknown(const Exchange& x, bool wrong) {
    Explanation& explanation = *x.explanation;
    if (!explanation.key().empty()) {
      std::vector<std::string> names;
      x.worker.keys->ForEach([&](const KeyRecord& key) { names.push_back(key.name); });
      const std::vector<std::string_view> known(names.begin(), names.end());
      explanation.Say("there is no relay key '" + explanation.key() + "'" +
                      DidYouMean(explanation.key(), known));
    } else {
      explanation.Say(wrong ? "what came as a credential is no relay key that is good now"
                            : "no credential came");
    }
  }

  // Why the key is refused whatever is asked for: "is disabled". "": it is not.
  std::string WhyNot(const Exchange& x, const KeyRecord& key) const {
    if (key.disabled) return "is disabled";
    if (!key.MayUse(service_)) return "may not use " + std::string(service_);
    std::optional<IpAddress> from;
    if (!key.allowed_addresses.empty()) from = AddressOf(x);
    if (!key.MayBeUsedFrom(from)) {
      return "may not be used from " + (from ? from->ToString() : "an unknown address");
    }
    if (!key.MayBeUsedBy(x.request.Get("user-agent"))) {
      std::string text = "may be used with these clients only:";
      for (const std::string& client : key.clients) text += " " + Quote(client);
      return text;
    }
    // Last: what is refused is no first use.
    WallTime now = x.loop.clock().Wall();
    bool expired = x.explanation != nullptr ? key.LooksExpiredAt(now) : key.ExpiredAt(now);
    if (expired) return "has expired";
    return {};
  }

  const std::string_view service_;
  const bool query_;
};

}  // namespace

FilterKind Auth() {
  return KindOf<AuthOptions, AuthFilter>(
      "finds the relay key, takes it out of the request, and checks what it may use", 0,
      Only(Fact::kKey));
}

}  // namespace relay
