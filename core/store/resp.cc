// SPDX-License-Identifier: MIT
#include "core/store/resp.h"

#include <hiredis/hiredis.h>
#include <hiredis/read.h>

#include <charconv>
#include <new>

namespace relay {
namespace {

std::optional<int64_t> Number(std::string_view text) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// What stands where a reply should: printable, and short enough for a log.
std::string Shown(std::string_view bytes) {
  std::string shown;
  for (char c : bytes.substr(0, 24)) shown += c >= ' ' && c <= '~' ? c : '.';
  return shown;
}

}  // namespace

std::string RespReply::Text() const {
  if (kind == Kind::kInteger) return std::to_string(integer);
  return kind == Kind::kText || kind == Kind::kStatus ? text : std::string();
}

std::optional<int64_t> RespReply::Int() const {
  if (kind == Kind::kInteger) return integer;
  return kind == Kind::kText || kind == Kind::kStatus ? Number(text) : std::nullopt;
}

// hiredis's callbacks. What they give stays where it is while it is being filled: an array grows
// only when the item before is whole.
struct RespReader::Build {
  RespLimits limits;
  size_t bytes = 0;
  size_t items = 0;
  bool too_large = false;

  static Build& Of(const redisReadTask* task) { return *static_cast<Build*>(task->privdata); }

  RespReply* Place(const redisReadTask* task, RespReply::Kind kind) {
    RespReply* made = nullptr;
    if (task->parent == nullptr) {
      made = new RespReply;
      bytes = items = 0;
    } else {
      made = &static_cast<RespReply*>(task->parent->obj)->items.emplace_back();
    }
    made->kind = kind;
    return made;
  }
  // An exception must not pass through C: null is hiredis's word for no memory.
  template <class F>
  static void* Try(F make) {
    try {
      return make();
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
  }
  static RespReply::Kind KindOf(int type) {
    if (type == REDIS_REPLY_ERROR) return RespReply::Kind::kError;
    return type == REDIS_REPLY_STATUS ? RespReply::Kind::kStatus : RespReply::Kind::kText;
  }
  static void* String(const redisReadTask* task, char* text, size_t size) {
    return Try([&]() -> void* {
      Build& build = Of(task);
      RespReply* reply = build.Place(task, KindOf(task->type));
      build.bytes += size;
      if (build.bytes > build.limits.bytes) return build.TooLarge(task, reply);
      reply->text.assign(text, size);
      return reply;
    });
  }
  static void* Array(const redisReadTask* task, int size) {
    return Try([&]() -> void* {
      Build& build = Of(task);
      RespReply* reply = build.Place(task, RespReply::Kind::kArray);
      build.items += static_cast<size_t>(size);
      if (build.items > build.limits.items) return build.TooLarge(task, reply);
      return reply;
    });
  }
  static void* Integer(const redisReadTask* task, long long value) {
    return Try([&]() -> void* {
      RespReply* reply = Of(task).Place(task, RespReply::Kind::kInteger);
      reply->integer = value;
      return reply;
    });
  }
  static void* Nil(const redisReadTask* task) {
    return Try([&]() -> void* { return Of(task).Place(task, RespReply::Kind::kNil); });
  }
  static void FreeReply(void* reply) { delete static_cast<RespReply*>(reply); }

  // A root that hiredis has not been given is nobody's but ours.
  void* TooLarge(const redisReadTask* task, RespReply* reply) {
    too_large = true;
    if (task->parent == nullptr) delete reply;
    return nullptr;
  }
};

void RespReader::Free::operator()(redisReader* reader) const {
  redisReaderFree(reader);
}

RespReader::RespReader(RespLimits limits) : build_(std::make_unique<Build>()) {
  static redisReplyObjectFunctions functions{Build::String, Build::Array, Build::Integer,
                                             Build::Nil, Build::FreeReply};
  build_->limits = limits;
  reader_.reset(redisReaderCreateWithFunctions(&functions));
  if (reader_ == nullptr) throw std::bad_alloc();
  reader_->privdata = build_.get();
}

RespReader::~RespReader() = default;

std::unexpected<Error> RespReader::Refuse(std::string what) {
  broken_ = Error{Party::kUpstream, Fault::kMalformed, std::move(what), true};
  return std::unexpected(*broken_);
}

void RespReader::Feed(std::string_view bytes) {
  if (broken_) return;
  if (redisReaderFeed(reader_.get(), bytes.data(), bytes.size()) != REDIS_OK) {
    throw std::bad_alloc();
  }
}

Result<std::optional<RespReply>> RespReader::Next() {
  if (broken_) return std::unexpected(*broken_);
  std::string_view waiting(reader_->buf + reader_->pos, reader_->len - reader_->pos);
  std::string seen = reader_->ridx < 0 ? Shown(waiting) : std::string();
  bool tls = waiting.starts_with("\x15\x03");
  void* raw = nullptr;
  if (redisReaderGetReply(reader_.get(), &raw) != REDIS_OK) {
    if (build_->too_large) return Refuse("sends a reply that is too large");
    if (reader_->err == REDIS_ERR_OOM) throw std::bad_alloc();
    // A TLS alert (RFC 8446 §5.1): the answer to what is not TLS.
    if (tls) return Refuse("speaks TLS on this port: switch tls on");
    return Refuse(seen.empty() ? "sends what is not RESP"
                               : "does not speak RESP, but begins with '" + seen + "'");
  }
  if (raw == nullptr) {
    // What is left is one text, or the line that announces one.
    if (reader_->len - reader_->pos > build_->limits.bytes + 64) {
      return Refuse("sends a reply that is too large");
    }
    return std::nullopt;
  }
  std::unique_ptr<RespReply> reply(static_cast<RespReply*>(raw));
  return std::move(*reply);
}

void AppendCommand(std::string& out, std::span<const std::string_view> arguments) {
  std::vector<const char*> texts;
  std::vector<size_t> sizes;
  texts.reserve(arguments.size());
  sizes.reserve(arguments.size());
  for (std::string_view argument : arguments) {
    texts.push_back(argument.data());
    sizes.push_back(argument.size());
  }
  char* command = nullptr;
  int size = redisFormatCommandArgv(&command, static_cast<int>(arguments.size()), texts.data(),
                                    sizes.data());
  if (size < 0) throw std::bad_alloc();
  std::unique_ptr<char, void (*)(char*)> owned(command, redisFreeCommand);
  out.append(command, static_cast<size_t>(size));
}

}  // namespace relay
