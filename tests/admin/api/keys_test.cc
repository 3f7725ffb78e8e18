// SPDX-License-Identifier: MIT
#include "admin/api/keys.h"

#include <gtest/gtest.h>

#include "admin/api/rekey.h"
#include "core/store/memory_store.h"
#include "tests/admin/fixture.h"

namespace relay {
namespace {

constexpr std::string_view kFile = R"(
listeners: [{address: "127.0.0.1:0"}]
admin: {key-prefix: team_}
keys:
  - {name: filed, key: "${RELAY_KEY}", services: [claude]}
  - {name: closed, key: a_key_that_the_file_disables, disabled: true}
clusters: {claude: {provider: claude, accounts: [{name: team, api-key: sk-ant-test}]}}
routes:
  - name: claude
    match: {prefix: /}
    filters: [{auth: {service: claude}}, {rate-limit: {}}, {account-select: {}}, {usage-record: {}}]
    cluster: claude
)";
constexpr std::string_view kFiledKey = "filed_key_of_the_file";

// One relay process without its workers, on a store that others may share.
class Replica {
 public:
  explicit Replica(Store& store) {
    auto made = Services::Make(ConfigOf(kFile, {{"RELAY_KEY", std::string(kFiledKey)}}),
                               SystemClock::Get(), uint64_t{1} << 30);
    EXPECT_TRUE(made);
    services_ = std::move(*made);
    SecretsConfig secrets;
    secrets.encryption_key = Secret("one encryption key of 32 bytes or more");
    keyring_ = *Keyring::Load(secrets, "");
    auto contact = MeetStore(store, *keyring_);
    EXPECT_TRUE(contact);
    objects_ = std::make_unique<Objects>(loop_, door_, *services_, &store, keyring_.get(),
                                         [](const StoredObject&) {});
    objects_->Meet(std::move(*contact));
    api_ = std::make_unique<KeysApi>(router_, *objects_, *services_);
    AddRekeyApi(router_, *objects_, keyring_.get());
  }
  ~Replica() { door_->Close(); }

  Reply Ask(const char* method, const std::string& path, std::string body = "") {
    size_t mark = path.find('?');
    ApiRequest request{method, "/admin/v1" + path.substr(0, mark),
                       mark == std::string::npos ? "" : path.substr(mark + 1), std::move(body)};
    Reply reply;
    Task<Unit> story = Tell(request, reply);
    Waiter start;
    story.StartOn(loop_, start, [](void*) noexcept {}, nullptr);
    while (!story.done()) loop_.Turn();
    return reply;
  }
  // What a field of the answer says; what the relay says when it refuses.
  std::string Say(const char* method, const std::string& path, std::string_view field,
                  std::string body = "") {
    Reply reply = Ask(method, path, std::move(body));
    auto object = JsonIndex::Parse(reply.body);
    if (!object) return reply.body;
    if (reply.status >= 300) {
      auto error = JsonIndex::Object(object->Find("error"));
      return error ? error->Find("message").String().value_or("") : reply.body;
    }
    JsonValue value = object->Find(field);
    return value.String().value_or(std::string(value.raw));
  }
  // Of the key that a client sends, as the workers would see it.
  std::shared_ptr<const KeyRecord> Find(std::string_view secret) {
    return services_->current()->keys->Find(secret);
  }

 private:
  Task<Unit> Tell(ApiRequest& request, Reply& reply) {
    reply = co_await router_.Answer(request);
    co_return Unit{};
  }

  Loop loop_;
  std::shared_ptr<LoopDoor> door_ = std::make_shared<LoopDoor>(loop_);
  std::unique_ptr<Services> services_;
  std::unique_ptr<Keyring> keyring_;
  std::unique_ptr<Objects> objects_;
  ApiRouter router_;
  std::unique_ptr<KeysApi> api_;
};

TEST(KeysApi, AKeyIsMadeUsedDisabledAndDeleted) {
  MemoryStore store;
  Replica relay(store);
  std::string secret =
      relay.Say("POST", "/keys", "key", R"({"name":"alice","limits":{"concurrency":2}})");
  ASSERT_TRUE(secret.starts_with("team_")) << secret;
  EXPECT_EQ(secret.size(), 5U + 64U);
  ASSERT_TRUE(relay.Find(secret));
  EXPECT_EQ(relay.Find(secret)->limits.concurrency, 2);
  EXPECT_EQ(relay.Say("POST", "/keys/alice/disable", "state"), "disabled");
  EXPECT_TRUE(relay.Find(secret)->disabled);
  EXPECT_EQ(relay.Say("POST", "/keys/alice/enable", "state"), "active");
  EXPECT_FALSE(relay.Find(secret)->disabled);
  EXPECT_EQ(relay.Say("DELETE", "/keys/alice", "state"), "deleted");
  EXPECT_FALSE(relay.Find(secret));
  EXPECT_EQ(relay.Ask("GET", "/keys").body.find("alice"), std::string::npos);
  EXPECT_NE(relay.Ask("GET", "/keys?deleted=true").body.find("alice"), std::string::npos);
  EXPECT_EQ(relay.Say("POST", "/keys/alice/restore", "state"), "active");
  EXPECT_TRUE(relay.Find(secret));
  EXPECT_EQ(relay.Ask("DELETE", "/keys/alice?purge=true").status, 204);
  EXPECT_EQ(relay.Ask("GET", "/keys/alice").status, 404);
}

TEST(KeysApi, TheStoreHoldsNoKeyInClear) {
  MemoryStore store;
  Replica relay(store);
  std::string secret = relay.Say("POST", "/keys", "key", R"({"name":"alice"})");
  auto load = [&](auto done) { store.LoadObjects(std::move(done)); };
  for (const StoredObject& object : Await<Directory>(load)->objects) {
    EXPECT_EQ(object.value.find(secret.substr(9, 50)), std::string::npos) << object.value;
  }
  EXPECT_EQ(relay.Ask("GET", "/keys/alice").body.find(secret.substr(9, 50)), std::string::npos);
}

TEST(KeysApi, OutlivesItsProcess) {
  MemoryStore store;
  std::string secret;
  {
    Replica relay(store);
    secret = relay.Say("POST", "/keys", "key", R"({"name":"alice"})");
  }
  Replica relay(store);
  EXPECT_TRUE(relay.Find(secret));
}

TEST(KeysApi, ARotatedKeyIsValidForTheOverlap) {
  MemoryStore store;
  Replica relay(store);
  std::string first = relay.Say("POST", "/keys", "key", R"({"name":"alice"})");
  std::string second =
      relay.Say("POST", "/keys/alice/rotate", "key", R"({"overlap-seconds":3600})");
  EXPECT_TRUE(relay.Find(first) && relay.Find(second));
  std::string third = relay.Say("POST", "/keys/alice/rotate", "key");
  EXPECT_FALSE(relay.Find(first) || relay.Find(second)) << "no overlap ends those before, too";
  EXPECT_TRUE(relay.Find(third));
  EXPECT_EQ(relay.Ask("POST", "/keys/alice/rotate", R"({"overlap-seconds":-1})").status, 400);
}

TEST(KeysApi, TheFilesKeyIsOnlyDisabled) {
  MemoryStore store;
  Replica relay(store);
  EXPECT_EQ(relay.Say("GET", "/keys/filed", "source"), "relay.yaml");
  for (const char* method : {"PATCH", "DELETE"}) {
    EXPECT_EQ(relay.Ask(method, "/keys/filed", R"({"services":["gemini"]})").status, 409);
  }
  EXPECT_EQ(relay.Ask("POST", "/keys", R"({"name":"filed"})").status, 409);
  EXPECT_EQ(relay.Ask("POST", "/keys/filed/rotate").status, 409);
  EXPECT_EQ(relay.Say("POST", "/keys/filed/disable", "state"), "disabled");
  EXPECT_TRUE(relay.Find(kFiledKey)->disabled);
  {
    Replica later(store);
    EXPECT_TRUE(later.Find(kFiledKey)->disabled) << "the store keeps it";
  }
  EXPECT_EQ(relay.Say("POST", "/keys/filed/enable", "state"), "active");
  EXPECT_FALSE(relay.Find(kFiledKey)->disabled);
}

TEST(KeysApi, AKeyThatTheFileDisablesStaysSo) {
  MemoryStore store;
  Replica relay(store);
  EXPECT_EQ(relay.Say("GET", "/keys/closed", "state"), "disabled");
  EXPECT_EQ(relay.Say("POST", "/keys/closed/enable", ""),
            "relay.yaml has 'disabled: true' at key 'closed': take it away there");
}

TEST(KeysApi, AKeyIsBoundToAnAccountThatIsThere) {
  MemoryStore store;
  Replica relay(store);
  EXPECT_EQ(relay.Say("POST", "/keys", "", R"({"name":"alice","bind":{"cluade":"team"}})"),
            "'bind': there is no account 'cluade/team'");
  EXPECT_EQ(relay.Ask("POST", "/keys", R"({"name":"alice","bind":{"claude":"team"}})").status, 201);
  EXPECT_EQ(relay.Say("PATCH", "/keys/alice", "", R"({"bind":{"claude":"tame"}})"),
            "'bind': there is no account 'claude/tame'");
  EXPECT_EQ(relay.Say("PATCH", "/keys/alice", "", R"({"bind":{"claude":"tag:tame"}})"),
            "'bind': there is no account with that tag: 'claude/tag:tame'");
}

TEST(KeysApi, ADeletedKeyIsNotRotated) {
  MemoryStore store;
  Replica relay(store);
  relay.Ask("POST", "/keys", R"({"name":"alice"})");
  relay.Ask("DELETE", "/keys/alice");
  EXPECT_EQ(relay.Say("POST", "/keys/alice/rotate", ""),
            "key 'alice' is deleted; restore it first");
}

TEST(KeysApi, APurgedKeysFirstUseIsForgotten) {
  MemoryStore store;
  Replica relay(store);
  constexpr const char* kBrief = R"({"name":"alice","expires-after-first-use":"1h"})";
  WallTime now = SystemClock::Get().Wall();
  std::string first = relay.Say("POST", "/keys", "key", kBrief);
  EXPECT_FALSE(relay.Find(first)->ExpiredAt(now - std::chrono::hours(2)));
  EXPECT_TRUE(relay.Find(first)->ExpiredAt(now));
  relay.Ask("DELETE", "/keys/alice?purge=true");
  std::string second = relay.Say("POST", "/keys", "key", kBrief);
  EXPECT_FALSE(relay.Find(second)->ExpiredAt(now));
}

TEST(KeysApi, AKeyOfTheStoreIsShadowedByTheFiles) {
  MemoryStore store;
  StoredKey shadowed;
  shadowed.name = "filed";
  shadowed.terms.services = {ProviderKind::kGemini};
  store.WriteObject({"key", "filed", 0, WriteStoredKey(shadowed)},
                    [](const Result<ObjectWritten>&) {});
  Replica relay(store);
  EXPECT_EQ(relay.Say("GET", "/keys/filed", "source"), "relay.yaml");
  EXPECT_EQ(relay.Find(kFiledKey)->services, std::vector<std::string>{"claude"});
}

TEST(KeysApi, NoChangeIsLostBetweenReplicas) {
  MemoryStore store;
  Replica one(store);
  std::string secret = one.Say("POST", "/keys", "key", R"({"name":"alice"})");
  Replica two(store);
  EXPECT_EQ(two.Say("POST", "/keys/alice/disable", "state"), "disabled");
  // The first does not know of it yet, and changes something else.
  EXPECT_FALSE(one.Find(secret)->disabled);
  EXPECT_EQ(one.Say("PATCH", "/keys/alice", "state", R"({"limits":{"concurrency":1}})"),
            "disabled");
  EXPECT_TRUE(one.Find(secret)->disabled);
  EXPECT_EQ(one.Find(secret)->limits.concurrency, 1);
}

TEST(KeysApi, RefusalsSayWhatToDo) {
  MemoryStore store;
  Replica relay(store);
  relay.Ask("POST", "/keys", R"({"name":"alice"})");
  EXPECT_EQ(relay.Say("POST", "/keys/alise/disable", ""),
            "there is no key 'alise' (did you mean 'alice'?)");
  EXPECT_EQ(relay.Say("POST", "/keys", "", R"({"name":"alice"})"),
            "there is a key 'alice' already");
  EXPECT_EQ(relay.Ask("POST", "/keys", R"({"name":"Alice"})").status, 400);
  EXPECT_EQ(relay.Ask("POST", "/keys", R"({"name":"bob","limitz":{}})").status, 400);
  EXPECT_EQ(relay.Ask("POST", "/keys", "nonsense").status, 400);
  EXPECT_EQ(relay.Ask("PATCH", "/keys/alice", R"({"limits":{"concurrency":-1}})").status, 400);
}

TEST(Rekey, WithAGivenKeyNeedsThePreviousOne) {
  MemoryStore store;
  Replica relay(store);
  EXPECT_NE(relay.Say("POST", "/rekey", "").find("previous-encryption-key"), std::string::npos);
}

}  // namespace
}  // namespace relay
