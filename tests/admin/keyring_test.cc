// SPDX-License-Identifier: MIT
#include "admin/keyring.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "core/store/memory_store.h"
#include "tests/admin/temporary_folder.h"

namespace relay {
namespace {

SecretsConfig Given(const char* key, const char* previous = "") {
  SecretsConfig config;
  config.encryption_key = Secret(key);
  config.previous_encryption_key = Secret(previous);
  return config;
}
constexpr const char* kOne = "one encryption key of 32 bytes or more";
constexpr const char* kTwo = "two encryption keys of 32 bytes or more";

std::unique_ptr<Keyring> Load(const SecretsConfig& config, const std::string& file) {
  auto ring = Keyring::Load(config, file);
  EXPECT_TRUE(ring) << ring.error().what;
  return ring ? std::move(*ring) : nullptr;
}

std::string ErrorOf(Store& store, Keyring& ring) {
  auto met = MeetStore(store, ring);
  EXPECT_FALSE(met);
  if (met) return "";
  EXPECT_FALSE(met.error().retryable);
  return met.error().what;
}

int64_t VersionOf(Store& store) {
  auto load = [&](auto done) { store.LoadObjects(std::move(done)); };
  return Await<Directory>(load)->version;
}

TEST(MeetStore, MakesAPepperOnceAndFindsItAgain) {
  MemoryStore store;
  auto ring = Load(Given(kOne), "");
  auto first = MeetStore(store, *ring);
  ASSERT_TRUE(first) << first.error().what;
  EXPECT_EQ(first->pepper.size(), 32U);
  auto second = MeetStore(store, *Load(Given(kOne), ""));
  ASSERT_TRUE(second);
  EXPECT_EQ(second->pepper.Reveal(), first->pepper.Reveal());
  EXPECT_EQ(second->directory.objects.size(), 1U);
}

TEST(MeetStore, RefusesAnotherKeyBeforeAnyWrite) {
  MemoryStore store;
  ASSERT_TRUE(MeetStore(store, *Load(Given(kOne), "")));
  int64_t version = VersionOf(store);
  std::string why = ErrorOf(store, *Load(Given(kTwo), ""));
  EXPECT_NE(why.find("used with another encryption key"), std::string::npos) << why;
  EXPECT_NE(why.find("nothing was written"), std::string::npos) << why;
  EXPECT_EQ(VersionOf(store), version);
  EXPECT_TRUE(MeetStore(store, *Load(Given(kTwo, kOne), ""))) << "the old one opens";
}

TEST(KeyFile, IsMadeForItsOwnerOnlyAndReadAgain) {
  TemporaryFolder folder;
  std::string file = folder.File("encryption.key");
  MemoryStore store;
  auto ring = Load({}, file);
  EXPECT_EQ(ring->vault(), nullptr);
  auto first = MeetStore(store, *ring);
  ASSERT_TRUE(first) << first.error().what;
  struct stat status{};
  ASSERT_EQ(stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0600U);
  EXPECT_EQ(status.st_size, 65);
  auto second = MeetStore(store, *Load({}, file));
  ASSERT_TRUE(second) << second.error().what;
  EXPECT_EQ(second->pepper.Reveal(), first->pepper.Reveal());
}

TEST(KeyFile, IsNotMadeForAStoreThatHoldsSealedSecrets) {
  TemporaryFolder folder;
  std::string file = folder.File("encryption.key");
  MemoryStore store;
  ASSERT_TRUE(MeetStore(store, *Load({}, file)));
  std::filesystem::remove(file);
  std::string why = ErrorOf(store, *Load({}, file));
  EXPECT_NE(why.find("put back the key file"), std::string::npos) << why;
  EXPECT_FALSE(std::filesystem::exists(file));
}

TEST(KeyFile, R52_IsRefusedWhenOthersMayReadItOrItIsTooShort) {
  TemporaryFolder folder;
  std::string file = folder.Write("encryption.key", std::string(64, 'a') + "\n");
  chmod(file.c_str(), 0640);
  EXPECT_FALSE(Keyring::Load({}, file));
  chmod(file.c_str(), 0600);
  EXPECT_TRUE(Keyring::Load({}, file));
  for (const char* text : {"", "\n", "too short\n"}) {
    folder.Write("encryption.key", text);
    EXPECT_FALSE(Keyring::Load({}, file)) << text;
  }
}

TEST(KeyFile, RenewedHoldsBothUntilThePreviousIsDropped) {
  TemporaryFolder folder;
  std::string file = folder.File("encryption.key");
  auto ring = Load({}, file);
  ASSERT_TRUE(ring->Make());
  const Vault* vault = ring->vault();
  const SealedPlace place{"a", "b", "c"};
  std::string old = vault->Seal(place, "x");
  std::string old_id = vault->key_id();
  ASSERT_TRUE(ring->Renew());
  EXPECT_EQ(ring->vault(), vault) << "who holds it goes over to the new key";
  EXPECT_NE(vault->key_id(), old_id);
  EXPECT_TRUE(vault->Open(place, old));
  auto after_a_crash = Load({}, file);
  EXPECT_TRUE(after_a_crash->has_previous());
  EXPECT_TRUE(after_a_crash->vault()->Open(place, old));
  EXPECT_EQ(after_a_crash->vault()->key_id(), vault->key_id());
  ASSERT_TRUE(ring->DropPrevious());
  EXPECT_FALSE(vault->Open(place, old));
  EXPECT_FALSE(Load({}, file)->has_previous());
}

TEST(KeyFile, ThatTheDiskDoesNotGiveIsTriedAgain) {
  TemporaryFolder folder;
  MemoryStore store;
  auto ring = Load({}, folder.File("none/encryption.key"));
  auto met = MeetStore(store, *ring);
  ASSERT_FALSE(met);
  EXPECT_TRUE(met.error().retryable);
  EXPECT_EQ(VersionOf(store), 0) << "nothing is sealed with a key that would be lost";
  std::filesystem::create_directory(folder.File("none"));
  EXPECT_TRUE(MeetStore(store, *ring));
}

TEST(KeyFile, DoesNotStandBesideAKeyOfTheConfiguration) {
  TemporaryFolder folder;
  auto ring = Load(Given(kOne), folder.File("encryption.key"));
  EXPECT_TRUE(ring->Make());
  EXPECT_FALSE(std::filesystem::exists(folder.File("encryption.key")));
  EXPECT_FALSE(ring->Renew());
}

}  // namespace
}  // namespace relay
