// SPDX-License-Identifier: MIT
#include "admin/state.h"

#include <utility>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/store/late_store.h"
#include "core/store/sqlite_store.h"

namespace relay {
namespace {

constexpr std::string_view kStoreFile = "relay.db";
constexpr std::string_view kJournalFolder = "journal";

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

}  // namespace

Result<std::unique_ptr<State>> State::Open(const Config& config, const Site& site,
                                           const Clock& clock, Ledger& ledger) {
  if (config.store.kind == StoreConfig::Kind::kMemory) {
    WarnOfMemory("relay.yaml says 'store: memory'");
    return nullptr;
  }
  std::unique_ptr<State> state(new State(ledger));
  if (site.folder == nullptr) {
    WarnOfMemory(site.no_folder);
    return state;
  }
  std::string path = config.store.path.empty() ? site.folder->File(kStoreFile) : config.store.path;
  if (Result<Unit> begun = state->Begin(path, site, clock); !begun) {
    return std::unexpected(std::move(begun.error()));
  }
  return state;
}

Result<Unit> State::Begin(const std::string& path, const Site& site, const Clock& clock) {
  std::string journals = site.folder->File(kJournalFolder);
  Result<LedgerPast> past = OpenStore(path, journals);
  if (past) {
    ledger_.Load(past->days, past->recent);
    Log(LogLevel::kInfo, "state opened",
        {{"store", path},
         {"days", static_cast<uint64_t>(ledger_.Sum(LedgerBy::kDay).size())},
         {"unsettled_epochs", static_cast<uint64_t>(past->dead.size())}});
  } else if (past.error().retryable) {
    Log(LogLevel::kError, "state cannot be read",
        {{"why", past.error().what},
         {"note",
          "what earlier runs used is not shown, and budgets of cost begin at zero, until a "
          "restart; "
          "what is used now is kept in the journal, and in the store when that can be opened"}});
    past = LedgerPast();
  } else {
    return std::unexpected(std::move(past.error()));
  }
  books_ = std::make_unique<LedgerBooks>(journals, NameOfRun(clock), site.workers, *site.files);
  keeper_ = std::make_unique<LedgerKeeper>(*store_, *books_, ledger_, clock, std::move(past->dead));
  ledger_.WriteTo(books_.get());
  keeper_->Start();
  return Unit{};
}

Result<LedgerPast> State::OpenStore(const std::string& path, const std::string& journals) {
  auto open = [path] { return SqliteStore::Open(path); };
  auto store = open();
  if (!store) {
    store_ = std::make_unique<LateStore>(open);
    return std::unexpected(std::move(store.error()));
  }
  store_ = std::move(*store);
  return ReadPast(*store_, journals);
}

State::~State() {
  ledger_.WriteTo(nullptr);
  if (keeper_ != nullptr) keeper_->Finish();
}

std::string_view State::kind() const {
  return store_ == nullptr ? "memory" : store_->kind();
}

LedgerKeeper::Status State::status() const {
  if (keeper_ != nullptr) return keeper_->status();
  LedgerKeeper::Status nothing;
  nothing.store_fails = true;
  return nothing;
}

}  // namespace relay
