// SPDX-License-Identifier: MIT
#include "upstreams/refusals.h"

#include <algorithm>

namespace relay {

Refusal RefusalOf(const NoAccount& none, std::string_view cluster, std::string_view model,
                  TimePoint now) {
  std::string name = "'" + std::string(cluster) + "'";
  Duration wait = std::max<Duration>(none.until - now, std::chrono::seconds(1));
  Refusal refusal;
  refusal.fault = Fault::kNoAccount;
  switch (none.why) {
    case NoAccount::Why::kEmpty:
      refusal.message = "cluster " + name + " has no account; add one under clusters." +
                        std::string(cluster) + ".accounts in relay.yaml";
      refusal.final = true;
      break;
    case NoAccount::Why::kBound:
      refusal.message = "the account of cluster " + name +
                        " to which the key is bound is not there; see bind: of the key";
      refusal.final = true;
      break;
    case NoAccount::Why::kTag:
      refusal.message = "no account of cluster " + name +
                        " has a tag that this route asks for; see tags: of account-select and of "
                        "the accounts";
      refusal.final = true;
      break;
    case NoAccount::Why::kClient:
      refusal.fault = Fault::kForbidden;
      refusal.message = "cluster " + name +
                        " has only subscription accounts left, which serve the vendor's own "
                        "client alone; add an account with an api-key for other clients";
      refusal.final = true;
      break;
    case NoAccount::Why::kCall:
      refusal.fault = Fault::kNotFound;
      refusal.message = "no account of cluster " + name +
                        " is of the kind that can do this call; add one that is";
      refusal.final = true;
      break;
    case NoAccount::Why::kModel:
      refusal.fault = Fault::kNotFound;
      refusal.message = "no account of cluster " + name + " serves the model '" +
                        std::string(model) + "'; see models: of its accounts";
      refusal.final = true;
      break;
    case NoAccount::Why::kUnsuited:
      refusal.fault = Fault::kForbidden;
      refusal.message = "no account of cluster " + name +
                        " may serve this request; the relay's log has the vendor's reason";
      refusal.final = true;
      break;
    case NoAccount::Why::kPaused:
      refusal.message = "every account of cluster " + name +
                        " that could serve is paused; see relay accounts list";
      refusal.final = true;
      break;
    case NoAccount::Why::kExpired:
      refusal.message = "the logins of cluster " + name +
                        " are being renewed, which does not succeed yet; the relay's log says why";
      refusal.retry_after = wait;
      break;
    case NoAccount::Why::kTried:
    case NoAccount::Why::kRefused:
      refusal.message = "no credential of cluster " + name +
                        " is accepted; renew them, the relay's log says which";
      refusal.final = true;
      break;
    case NoAccount::Why::kLimited:
      refusal.fault = Fault::kRateLimited;
      refusal.message = "every account of cluster " + name + " is at its limit";
      refusal.retry_after = wait;
      break;
    case NoAccount::Why::kBusy:
      refusal.fault = Fault::kOverloaded;
      refusal.message = "every account of cluster " + name + " carries as many requests as it may";
      refusal.retry_after = std::chrono::seconds(1);
      break;
    case NoAccount::Why::kUntried:
      refusal.fault = Fault::kOverloaded;
      refusal.message = "the accounts of cluster " + name +
                        " that were asked cannot serve this request, another may; try again";
      refusal.retry_after = std::chrono::seconds(1);
      break;
  }
  return refusal;
}

Refusal RefusalOfWay(const Error& error, std::string_view cluster) {
  Refusal refusal = ToRefusal(error);
  refusal.final = false;
  refusal.party = Party::kUpstream;
  std::string upstream = "the upstream of cluster '" + std::string(cluster) + "' ";
  switch (error.fault) {
    case Fault::kConnect:
    case Fault::kProxy:
    case Fault::kTls: refusal.message = upstream + "cannot be reached"; break;
    case Fault::kTimeout: refusal.message = upstream + "did not answer in time"; break;
    case Fault::kOverloaded: refusal.message = upstream + "cannot serve at the moment"; break;
    case Fault::kMalformed:
    case Fault::kHeadTooLarge:
      refusal.message = upstream + "sent an answer that breaks the rules of HTTP";
      break;
    default: refusal.message = upstream + "broke off before it answered"; break;
  }
  refusal.message += "; try again in a moment";
  return refusal;
}

}  // namespace relay
