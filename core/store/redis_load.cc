// SPDX-License-Identifier: MIT
#include "core/store/redis_load.h"

#include <algorithm>
#include <utility>

#include "core/base/log.h"

namespace relay {
namespace {

// In order, and each once.
void Sort(RowSet& rows) {
  LedgerRows sorted;
  sorted.Set(rows);
  rows = sorted.All();
}

}  // namespace

RedisLoad::RedisLoad(Call call, Options options, Store::Done<Loaded> done)
    : call_(std::move(call)), options_(std::move(options)), done_(std::move(done)) {}

void RedisLoad::Start(Call call, Options options, Store::Done<Loaded> done) {
  std::shared_ptr<RedisLoad> load(
      new RedisLoad(std::move(call), std::move(options), std::move(done)));
  load->Begin();
}

void RedisLoad::Begin() {
  if (++tries_ > kTries) {
    Fail({Party::kRelay, Fault::kInternal,
          "other relays fold the ledger in Redis again and again while it is read", true});
    return;
  }
  damaged_ = 0;
  call_(redis_requests::Load(options_.month, options_.rows_in_one),
        [self = shared_from_this()](Result<RespReply> reply) {
          if (!reply) return self->Fail(std::move(reply.error()));
          self->OnBegun(*reply);
        });
}

void RedisLoad::OnBegun(const RespReply& reply) {
  auto ledger = redis_replies::ReadLedger(reply, options_.today, options_.may_live_days);
  if (!ledger) return Fail(std::move(ledger.error()));
  ledger_ = std::move(*ledger);
  const std::vector<RespReply>& rows = redis_replies::RowsOfLedger(reply);
  if (rows.size() == ledger_.hashes.size()) {
    for (size_t hash = 0; hash < rows.size(); ++hash) Add(hash, rows[hash]);
    Finish();
    return;
  }
  Plan();
  Next();
}

void RedisLoad::Plan() {
  pages_.clear();
  size_t room = 0;
  for (size_t hash = 0; hash < ledger_.hashes.size(); ++hash) {
    const auto& [name, rows] = ledger_.hashes[hash];
    size_t slices = std::max<size_t>((rows + options_.rows_in_one - 1) / options_.rows_in_one, 1);
    for (size_t slice = 0; slice < slices; ++slice) {
      size_t some = rows / slices + 1;
      if (pages_.empty() || room < some) {
        pages_.emplace_back();
        room = options_.rows_in_one;
      }
      room -= std::min(room, some);
      pages_.back().parts.push_back({name, slices, slice});
      pages_.back().hashes.push_back(hash);
    }
  }
}

void RedisLoad::Next() {
  if (pages_.empty()) {
    Finish();
    return;
  }
  Page page = std::move(pages_.back());
  pages_.pop_back();
  SharedRequest request = redis_requests::LoadRows(page.parts);
  call_(std::move(request),
        [self = shared_from_this(), page = std::move(page)](Result<RespReply> reply) {
          if (!reply) return self->Fail(std::move(reply.error()));
          self->OnPage(page, *reply);
        });
}

void RedisLoad::OnPage(const Page& page, const RespReply& reply) {
  if (reply.items.size() != page.hashes.size() + 1) {
    return Fail(redis_replies::Garbled().error());
  }
  if (reply.items[0].text != ledger_.mark) return Begin();
  for (size_t i = 0; i < page.hashes.size(); ++i) Add(page.hashes[i], reply.items[i + 1]);
  Next();
}

void RedisLoad::Add(size_t hash, const RespReply& rows) {
  size_t buckets = ledger_.hashes.size() - ledger_.image.epochs.size();
  RowSet& to = hash < buckets ? ledger_.image.folded : ledger_.image.epochs[hash - buckets].rows;
  damaged_ += redis_replies::AddRows(rows, to);
}

void RedisLoad::Fail(Error why) {
  done_(std::unexpected(std::move(why)));
}

void RedisLoad::Finish() {
  LedgerImage& image = ledger_.image;
  Sort(image.folded);
  for (EpochRows& epoch : image.epochs) Sort(epoch.rows);
  std::ranges::sort(image.epochs, {}, &EpochRows::epoch);
  if (damaged_ > 0) {
    Log(LogLevel::kError, "damaged rows in redis",
        {{"rows", static_cast<uint64_t>(damaged_)}, {"note", "they are not counted"}});
  }
  done_(Loaded{std::move(image), ledger_.month_commands});
}

}  // namespace relay
