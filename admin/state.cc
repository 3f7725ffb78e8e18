// SPDX-License-Identifier: MIT
#include "admin/state.h"

#include <utility>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/net/tls_context.h"
#include "core/store/late_store.h"
#include "core/store/redis_store.h"
#include "core/store/sqlite_store.h"

namespace relay {
namespace {

// Names of epochs sort by time, and no two runs have one: "20261124T101500Z-1f2e3d4c".
std::string NameOfRun(const Clock& clock) {
  std::string name;
  for (char c : IsoTime(clock.Wall())) {
    if (c == '.') break;
    if (c != '-' && c != ':') name += c;
  }
  return name + "Z-" + RandomHex(4);
}

void WarnOfMemory(const std::string& why) {
  Log(LogLevel::kWarn, "state is kept in memory",
      {{"why", why}, {"note", "what was used is forgotten when this process ends"}});
}

void WarnOfNoJournal(const RedisConfig& redis, const std::string& why) {
  Log(LogLevel::kWarn, "no journal",
      {{"why", why},
       {"note", "a relay that is killed loses what was used since the last flush, up to " +
                    FormatDuration(redis.flush_interval) +
                    " of it (store.redis.flush-interval), or more while Redis is away or a command "
                    "budget runs low"}});
}

// Where the store is, for the log.
std::string PlaceOf(const StoreConfig& config, const State::Site& site) {
  if (config.kind == StoreConfig::Kind::kRedis) {
    return "redis at " + FormatHostPort(config.redis.address);
  }
  return config.path.empty() ? site.folder->File(kStoreFile) : config.path;
}

Result<RedisStore::Options> OptionsOf(const RedisConfig& config) {
  RedisStore::Options options;
  options.redis.host = config.address.host;
  options.redis.port = config.address.port;
  options.redis.username = config.username;
  options.redis.password = config.password;
  options.redis.database = config.database;
  if (config.tls) {
    auto tls = TlsClientContext::Make(config.ca);
    if (!tls) return std::unexpected(std::move(tls.error()));
    options.redis.tls = std::move(*tls);
  }
  options.flush_every = config.flush_interval;
  options.commands_per_month = config.commands_per_month;
  options.replicas = config.replicas;
  return options;
}

RedisLimits::Options LimitsOptionsOf(const Config& config, const std::string& run) {
  RedisLimits::Options options;
  options.relay = run;
  if (auto zone = Zone::Load(config.time_zone)) options.zone = *zone;
  options.fail_closed = config.store.redis.on_outage == OnOutage::kFailClosed;
  return options;
}

}  // namespace

Result<std::unique_ptr<Store>> OpenStoreOf(const StoreConfig& config, const std::string& folder,
                                           const Clock& clock) {
  if (config.kind != StoreConfig::Kind::kRedis) {
    std::string own = folder + "/" + std::string(kStoreFile);
    return SqliteStore::Open(config.path.empty() ? own : config.path);
  }
  auto options = OptionsOf(config.redis);
  if (!options) return std::unexpected(std::move(options.error()));
  return std::make_unique<RedisStore>(std::move(*options), clock);
}

Result<std::unique_ptr<State>> State::Open(const Config& config, const Site& site,
                                           const Clock& clock, Kept kept) {
  if (config.store.kind == StoreConfig::Kind::kMemory) {
    WarnOfMemory("relay.yaml says 'store: memory'");
    return nullptr;
  }
  std::unique_ptr<State> state(new State(std::move(kept)));
  bool redis = config.store.kind == StoreConfig::Kind::kRedis;
  if (site.folder == nullptr && !redis) {
    WarnOfMemory(site.no_folder);
    return state;
  }
  if (site.folder == nullptr) WarnOfNoJournal(config.store.redis, site.no_folder);
  auto keyring = Keyring::Load(config.secrets, redis ? "" : site.folder->File(kKeyFile));
  if (!keyring) return std::unexpected(std::move(keyring.error()));
  state->keyring_ = std::move(*keyring);
  if (Result<Unit> begun = state->Begin(config, site, clock); !begun) {
    return std::unexpected(std::move(begun.error()));
  }
  return state;
}

Result<Unit> State::Begin(const Config& config, const Site& site, const Clock& clock) {
  bool folder = site.folder != nullptr;
  std::string journals = folder ? site.folder->File(kJournalFolder) : std::string(kNoFolder);
  JournalFiles& files = folder ? *site.files : JournalFiles::None();
  std::string path = PlaceOf(config.store, site);
  std::string run = NameOfRun(clock);
  Result<Past> past = OpenStore(config, run, path, journals, clock);
  bool late = !past && past.error().retryable;
  if (!past && !late) return std::unexpected(std::move(past.error()));
  if (past) {
    Add(path, *past);
  } else {
    Log(LogLevel::kError, "state cannot be read",
        {{"why", past.error().what},
         {"note",
          "it is tried again every second; until then what earlier runs used is not shown, budgets "
          "begin at zero, and what is used is kept in the journal"}});
    past = Past();
  }
  books_ = std::make_unique<LedgerBooks>(journals, run, site.workers, files);
  keeper_ = std::make_unique<LedgerKeeper>(*store_, *books_, kept_.ledger, clock,
                                           std::move(past->dead), &states_);
  if (late) {
    keeper_->ReadLate({journals, run, [this, path](const Past& found) { Add(path, found); }});
  }
  kept_.bell.WakeBy([books = books_.get()] { books->Wake(); });
  kept_.ledger.WriteTo(books_.get());
  keeper_->Start();
  return Unit{};
}

void State::Add(const std::string& path, const Past& past) {
  kept_.ledger.Load(past.days, past.recent);
  kept_.add_spending(past.days);
  states_.Restore(past.states);
  if (limits_ != nullptr) limits_->Open();
  Log(LogLevel::kInfo, "state opened",
      {{"store", path},
       {"days", static_cast<uint64_t>(kept_.ledger.Sum(LedgerBy::kDay).size())},
       {"states", static_cast<uint64_t>(past.states.size())},
       {"unsettled_epochs", static_cast<uint64_t>(past.dead.size())}});
}

Result<Past> State::OpenStore(const Config& config, const std::string& run, const std::string& path,
                              const std::string& journals, const Clock& clock) {
  LateStore::Opener open = [this, path]() -> Result<std::unique_ptr<Store>> {
    auto opened = SqliteStore::Open(path);
    if (!opened) return opened;
    if (Result<Unit> met = Meet(**opened); !met) return std::unexpected(std::move(met.error()));
    return opened;
  };
  const Store* coming = nullptr;
  if (config.store.kind == StoreConfig::Kind::kRedis) {
    auto options = OptionsOf(config.store.redis);
    if (!options) return std::unexpected(std::move(options.error()));
    if (config.store.redis.replicas > 1) options->limits = LimitsOptionsOf(config, run);
    auto opened = std::make_unique<RedisStore>(std::move(*options), clock);
    limits_ = opened->limits();
    auto redis = std::make_shared<std::unique_ptr<Store>>(std::move(opened));
    coming = redis->get();
    open = [this, redis]() -> Result<std::unique_ptr<Store>> {
      if (Result<Unit> met = Meet(**redis); !met) return std::unexpected(std::move(met.error()));
      return std::move(*redis);
    };
  }
  auto store = open();
  if (!store && store.error().retryable) store_ = std::make_unique<LateStore>(open, coming);
  if (!store) return std::unexpected(std::move(store.error()));
  store_ = std::move(*store);
  return ReadPast(*store_, journals, states_.kinds());
}

Result<Unit> State::Meet(Store& store) {
  Result<Contact> contact = MeetStore(store, *keyring_);
  if (!contact) return std::unexpected(std::move(contact.error()));
  std::lock_guard lock(met_mutex_);
  if (tell_) {
    tell_(std::move(*contact));
  } else {
    contact_ = std::move(*contact);
  }
  return Unit{};
}

void State::WhenMet(std::function<void(Contact)> tell) {
  std::lock_guard lock(met_mutex_);
  if (contact_ && tell) {
    tell(std::move(*contact_));
    contact_.reset();
  } else {
    tell_ = std::move(tell);
  }
}

State::~State() {
  kept_.ledger.WriteTo(nullptr);
  kept_.bell.WakeBy(nullptr);
  if (keeper_ != nullptr) keeper_->Finish();
}

std::string_view State::kind() const {
  return store_ == nullptr ? "memory" : store_->kind();
}

StoreStatus State::store_status() const {
  return store_ == nullptr ? StoreStatus() : store_->status();
}

LedgerKeeper::Status State::status() const {
  if (keeper_ != nullptr) return keeper_->status();
  LedgerKeeper::Status nothing;
  nothing.store_fails = true;
  return nothing;
}

}  // namespace relay
