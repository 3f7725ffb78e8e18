// SPDX-License-Identifier: MIT
#include "admin/serve.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "admin/account_book.h"
#include "admin/alerts.h"
#include "admin/api/accounts.h"
#include "admin/api/alerts.h"
#include "admin/api/config.h"
#include "admin/api/explain.h"
#include "admin/api/keys.h"
#include "admin/api/rekey.h"
#include "admin/api/usage.h"
#include "admin/control.h"
#include "admin/endpoints.h"
#include "admin/load.h"
#include "admin/machine.h"
#include "admin/objects.h"
#include "admin/reload.h"
#include "admin/services.h"
#include "admin/worker_thread.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/store/data_folder.h"

namespace relay {
namespace {

// --- Signals -----------------------------------------------------------------------------------

sigset_t OurSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
  return set;
}

// Before any thread is started, so that all of them have the mask.
void BlockSignals() {
  sigset_t set = OurSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

// Tells of signals from a loop's poll phase; no handler ever interrupts anything.
class SignalWatch final : private SocketEvents {
 public:
  SignalWatch(Loop& loop, std::function<void(int)> on_signal)
      : on_signal_(std::move(on_signal)), file_(Open()), watch_(loop, file_, *this) {
    watch_.Set(SocketWatch::kReadable);
  }

 private:
  static Socket Open() {
    sigset_t set = OurSignals();
    return Socket(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  }
  void OnSocket(bool, bool, bool) override {
    signalfd_siginfo info{};
    while (read(file_.fd(), &info, sizeof info) == sizeof info) {
      on_signal_(static_cast<int>(info.ssi_signo));
    }
  }

  std::function<void(int)> on_signal_;
  Socket file_;
  SocketWatch watch_;
};

// --- Start-up ----------------------------------------------------------------------------------

// One event of the log for each: what stands out in relay.yaml, what is left out, and what is set
// but has no effect yet (README, "What is not there yet").
void LogNotes(const Config& config, const Problems& problems) {
  for (const std::string& line : ReportLines(config, problems)) {
    Log(LogLevel::kWarn, "configuration", {{"note", line}});
  }
  if (!config.admin.password.empty()) {
    Log(LogLevel::kWarn, "not built yet",
        {{"what", "the admin page"}, {"note", "ADMIN_USERNAME and ADMIN_PASSWORD have no effect"}});
  }
  if (!config.secrets.session_key.empty()) {
    Log(LogLevel::kWarn, "not built yet",
        {{"what", "sessions of the admin page"}, {"note", "JWT_SECRET has no effect"}});
  }
}

// Without a store the successor of a refresh token lasts as long as the process, and Claude takes
// each once.
void WarnOfSpentTokens(const Config& config) {
  for (const ClusterConfig& cluster : config.clusters) {
    if (cluster.provider != ProviderKind::kClaude) continue;
    for (const AccountConfig& account : cluster.accounts) {
      if (account.refresh_token.empty()) continue;
      Log(LogLevel::kWarn, "a refresh token lasts for this start only",
          {{"account", cluster.name + "/" + account.name},
           {"why", "it is good once, and there is no store to keep the next one in"},
           {"note", "see 'store' in relay.yaml"}});
    }
  }
}

// For as long as the process serves; whoever is told of a failure afterwards reads it last.
class LogSession {
 public:
  explicit LogSession(const LogConfig& config) {
    LogOptions options;
    options.level = config.level;
    options.json = config.format == LogFormat::kJson;
    StartLog(options);
  }
  LogSession(const LogSession&) = delete;
  LogSession& operator=(const LogSession&) = delete;
  ~LogSession() { StopLog(); }
};

int WorkersOf(const Config& config) {
  return config.workers > 0 ? config.workers : UsableCores();
}

Result<std::vector<Address>> AddressesOf(const Config& config) {
  std::vector<Address> addresses;
  for (const ListenerConfig& listener : config.listeners) {
    std::optional<Address> literal =
        Address::FromLiteral(listener.address.host, listener.address.port);
    if (literal) {
      addresses.push_back(*literal);
    } else {
      Result<std::vector<Address>> found = SystemLookup(listener.address.host);
      if (!found) {
        return Fail(Party::kRelay, Fault::kConnect,
                    listener.place.Text() + ": no address for " + listener.address.host + ": " +
                        found.error().what);
      }
      addresses.push_back(found->front());
      addresses.back().set_port(listener.address.port);
    }
  }
  return addresses;
}

// Our listeners share their ports among the workers, and would share them with another relay of
// this user as well. A socket that shares nothing tells whether the port is free.
Result<Unit> CheckFree(const std::vector<Address>& addresses) {
  for (const Address& address : addresses) {
    if (address.port() == 0) continue;
    Socket socket = Socket::Open(address);
    socket.SetOption(SOL_SOCKET, SO_REUSEADDR, 1);
    if (address.v6()) {
      socket.SetOption(IPPROTO_IPV6, IPV6_V6ONLY, address.IsWildcard() ? 0 : 1);
    }
    if (::bind(socket.fd(), address.data(), address.size()) == 0) continue;
    if (errno != EADDRINUSE) continue;  // the listener says it better
    return Fail(Party::kRelay, Fault::kConnect,
                "port " + std::to_string(address.port()) +
                    " is taken: another program listens there; stop it, or choose another port, "
                    "such as PORT=" +
                    std::to_string(address.port() % 65535 + 1));
  }
  return Unit{};
}

// Whole or not at all: who waits for the file must not read half of it.
Result<Unit> WritePorts(const std::string& file, const std::vector<Address>& addresses) {
  std::string fresh = file + ".new";
  FILE* out = std::fopen(fresh.c_str(), "we");
  bool written = out != nullptr;
  for (const Address& address : addresses) {
    written = written && std::fprintf(out, "%d\n", address.port()) > 0;
  }
  if (out != nullptr) written = std::fclose(out) == 0 && written;
  if (written && std::rename(fresh.c_str(), file.c_str()) == 0) return Unit{};
  return Fail(Party::kRelay, Fault::kInternal,
              "the port file " + file + " cannot be written: " + ErrnoText(errno));
}

// --- The process -------------------------------------------------------------------------------

// How long a relay that stops waits for a refresh that is under way: what the vendor has spent
// would be lost.
constexpr Duration kTokenGrace = TokenKeeper::kPatience + std::chrono::seconds(10);

// Null where nothing is kept.
Store* StoreOf(const Services& services) {
  return services.state == nullptr ? nullptr : services.state->store();
}

Keyring* KeyringOf(const Services& services) {
  return services.state == nullptr ? nullptr : services.state->keyring();
}

// Nobody else uses a store in the data folder, which is locked.
bool IsEmbedded(const Services& services) {
  return services.state == nullptr || services.state->kind() != "redis";
}

class Process final {
 public:
  Process(Services& services, const Options& options, const Environment& environment);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  // Opens the control socket in the folder, if there is one, and every listener. Errors are for
  // people.
  Result<Unit> Prepare(const DataFolder* folder);
  Result<Unit> Run();

 private:
  void OnMet(Contact contact);
  void OnSignal(int number);
  void OnDrained();
  void OnEnd() { loop_.Stop(); }

  Services& services_;
  const Options& options_;
  ProcessEndpoints endpoints_;
  Loop loop_{services_.clock};
  MethodTimer<Process, &Process::OnEnd> end_{loop_.timers(), *this};
  Resolver resolver_{loop_};
  VendorCalls calls_{loop_, resolver_, services_.tls()};
  std::unique_ptr<TokenKeeper> keeper_;
  Alerts alerts_{calls_, services_};
  Reloader reloader_;
  const std::shared_ptr<LoopDoor> door_ = std::make_shared<LoopDoor>(loop_);
  Objects objects_;
  AccountBook accounts_{objects_};
  AccountsRoom accounts_room_{services_, accounts_, *keeper_, calls_};
  ApiRouter api_;
  KeysApi keys_api_{api_, objects_, services_};
  std::unique_ptr<ControlSocket> control_;
  std::vector<Address> addresses_;
  std::vector<std::unique_ptr<WorkerThread>> workers_;
  size_t drained_ = 0;
  bool draining_ = false;
};

Process::Process(Services& services, const Options& options, const Environment& environment)
    : services_(services),
      options_(options),
      endpoints_(services),
      keeper_(std::make_unique<TokenKeeper>(
          calls_, services.tokens, StoreOf(services),
          [keyring = KeyringOf(services)] { return keyring->vault(); }, services.clock,
          TokenKeeper::Options{.run = RandomHex(8), .alone = IsEmbedded(services)})),
      reloader_(loop_, services, options.config, environment,
                [this](const ReloadOutcome& outcome) {
                  endpoints_.SetReload(outcome);
                  alerts_.OnReload(outcome);
                }),
      objects_(loop_, door_, services, StoreOf(services), KeyringOf(services),
               [this](const StoredObject& object) {
                 if (keeper_ != nullptr) keeper_->Changed(object);
               }) {
  api_.Add("GET", "/health",
           [this](ApiRequest&) -> Task<Reply> { return Reply{.body = endpoints_.HealthText()}; });
  AddUsageApi(api_, services_.ledger);
  AddConfigApi(api_, loop_, reloader_);
  AddExplainApi(api_, services_, endpoints_);
  AddAccountsApi(api_, accounts_room_);
  AddAlertsApi(api_, alerts_);
  AddRekeyApi(api_, objects_, KeyringOf(services_));
  if (services_.state == nullptr) return;
  services_.state->WhenMet(
      [this, door = door_, here = std::this_thread::get_id()](Contact contact) {
        if (std::this_thread::get_id() == here) {
          OnMet(std::move(contact));
          return;
        }
        auto found = std::make_shared<Contact>(std::move(contact));
        door->Post([this, found] { OnMet(std::move(*found)); });
      });
}

// Accounts and their tokens are known before they are used, if the store is there at the start.
void Process::OnMet(Contact contact) {
  objects_.Meet(std::move(contact));
  keeper_->ReadAll();
}

// What is open is buried while all that it uses is there.
Process::~Process() {
  workers_.clear();
  control_.reset();
  keeper_.reset();
  // What is left to do brings the state to the store, which may be met only then.
  if (services_.state != nullptr) services_.state->WhenMet(nullptr);
  door_->Close();
  loop_.Turn();
}

Result<Unit> Process::Prepare(const DataFolder* folder) {
  keeper_->ReadAll();
  const std::shared_ptr<const Snapshot> snapshot = services_.current();
  const Config& config = *snapshot->config;
  if (!accounts_.can_write()) WarnOfSpentTokens(config);
  Result<std::vector<Address>> addresses = AddressesOf(config);
  if (!addresses) return std::unexpected(addresses.error());
  addresses_ = std::move(*addresses);
  if (Result<Unit> free = CheckFree(addresses_); !free) return free;
  for (int number = 0; number < WorkersOf(config); ++number) {
    auto worker = std::make_unique<WorkerThread>(services_, endpoints_, number);
    if (Result<Unit> listening = worker->Listen(addresses_); !listening) return listening;
    workers_.push_back(std::move(worker));
  }
  if (folder == nullptr) return Unit{};
  Result<std::unique_ptr<ControlSocket>> control =
      ControlSocket::Open(loop_, folder->File(kControlSocket), api_);
  if (control) {
    control_ = std::move(*control);
  } else {
    Log(LogLevel::kWarn, "no control socket", {{"why", control.error().what}});
  }
  return Unit{};
}

Result<Unit> Process::Run() {
  SignalWatch signals(loop_, [this](int number) { OnSignal(number); });
  for (const auto& worker : workers_) {
    worker->Start([this] { loop_.Post([this] { OnDrained(); }); });
  }
  endpoints_.SetPhase(ProcessEndpoints::Phase::kServing);
  const std::shared_ptr<const Snapshot> snapshot = services_.current();
  for (size_t i = 0; i < addresses_.size(); ++i) {
    Log(LogLevel::kInfo, "serving",
        {{"address", addresses_[i].ToString()},
         {"tls", snapshot->listeners[i].tls != nullptr},
         {"workers", static_cast<int64_t>(workers_.size())},
         {"version", RELAY_VERSION}});
  }
  Result<Unit> ready = Unit{};
  if (!options_.port_file.empty()) ready = WritePorts(options_.port_file, addresses_);
  if (ready) loop_.Run();
  // Nobody reads signals any more: from here on one ends the process, and the journal has the rest.
  sigset_t ending = OurSignals();
  sigdelset(&ending, SIGHUP);
  pthread_sigmask(SIG_UNBLOCK, &ending, nullptr);
  workers_.clear();
  control_.reset();
  return ready;
}

void Process::OnSignal(int number) {
  if (number == SIGHUP) {
    if (!draining_) reloader_.Reload("SIGHUP");
    return;
  }
  if (draining_) {
    Log(LogLevel::kWarn, "stopping at once", {{"exchanges", services_.exchanges.active()}});
    loop_.Stop();
    return;
  }
  draining_ = true;
  endpoints_.SetPhase(ProcessEndpoints::Phase::kDraining);
  Log(LogLevel::kInfo, "draining", {{"exchanges", services_.exchanges.active()}});
  Duration timeout = services_.current()->config->drain_timeout;
  for (const auto& worker : workers_) worker->Drain(timeout);
}

void Process::OnDrained() {
  if (++drained_ < workers_.size()) return;
  Log(LogLevel::kInfo, "drained", {{"exchanges", services_.exchanges.active()}});
  end_.ArmIn(kTokenGrace);
  keeper_->Finish([this] { loop_.Stop(); });
}

// From a good configuration to the end of the drain. Errors are for people.
Result<Unit> Serve(const std::shared_ptr<const Config>& config, const Problems& problems,
                   const Options& options, const Environment& environment) {
  LogSession log(config->log);
  LogNotes(*config, problems);
  ForbidCoreDumps();
  RaiseDescriptorLimit();
  auto folder = DataFolder::Open(DataFolderOf(*config, environment));
  if (!folder) {
    if (folder.error().why == DataFolderError::Why::kTaken) {
      return Fail(Party::kRelay, Fault::kConnect, folder.error().what);
    }
    Log(LogLevel::kWarn, "no control socket", {{"why", folder.error().what}});
  }
  auto services = Services::Make(config, SystemClock::Get(), UsableMemory());
  if (!services) return std::unexpected(services.error());
  State::Site site;
  if (folder) {
    site.folder = folder->get();
  } else {
    site.no_folder = folder.error().what;
  }
  site.workers = static_cast<size_t>(WorkersOf(*config));
  auto state = State::Open(*config, site, SystemClock::Get(), (*services)->Kept());
  if (!state) return std::unexpected(state.error());
  (*services)->state = std::move(*state);
  if ((*services)->state != nullptr) {
    (*services)->limiter.ShareBy((*services)->state->shared_limits());
  }
  Process process(**services, options, environment);
  Result<Unit> ready = process.Prepare(folder ? folder->get() : nullptr);
  if (!ready) return ready;
  return process.Run();
}

}  // namespace

int RunServe(const Options& options, const Environment& environment) {
  Problems problems;
  std::shared_ptr<const Config> config = LoadChecked(options.config, environment, problems);
  if (problems.failed()) {
    Report(*config, problems);
    return kExitUsage;
  }
  BlockSignals();
  Result<Unit> served = Serve(config, problems, options, environment);
  if (served) return kExitOk;
  std::fprintf(stderr, "relay: %s\n", served.error().what.c_str());
  return kExitFailed;
}

}  // namespace relay
