// SPDX-License-Identifier: MIT
#include "admin/encryption.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/admin/temporary_folder.h"

namespace relay {
namespace {

using testing::HasSubstr;

class EncryptionTest : public testing::Test {
 protected:
  EncryptionTest() : data_(std::move(*DataFolder::Open(folder_.path() + "/data"))) {}
  std::string file() const { return data_->File(kKeyFile); }

  TemporaryFolder folder_;
  std::unique_ptr<DataFolder> data_;
  Config config_;
};

TEST_F(EncryptionTest, MakesAKeyOnceAndForItsOwnerAlone) {
  auto first = OpenVault(config_, data_.get());
  ASSERT_TRUE(first && *first);
  struct stat about{};
  ASSERT_EQ(stat(file().c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600U);
  EXPECT_EQ(about.st_size, 65);
  std::string sealed = (*first)->Seal({"a", "b", "c"}, "secret");
  auto second = OpenVault(config_, data_.get());
  ASSERT_TRUE(second && *second);
  auto opened = (*second)->Open({"a", "b", "c"}, sealed);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->Reveal(), "secret");
}

TEST_F(EncryptionTest, TakesTheFilesKeyWithoutAFolder) {
  config_.secrets.encryption_key = Secret("0123456789abcdef0123456789abcdef");
  auto vault = OpenVault(config_, nullptr);
  ASSERT_TRUE(vault && *vault);
  EXPECT_EQ((*vault)->key_id(), Vault(config_.secrets.encryption_key).key_id());
  struct stat about{};
  EXPECT_NE(stat(file().c_str(), &about), 0);
}

TEST_F(EncryptionTest, HasNoneWithoutBoth) {
  auto vault = OpenVault(config_, nullptr);
  ASSERT_TRUE(vault);
  EXPECT_EQ(*vault, nullptr);
}

TEST_F(EncryptionTest, RefusesAKeyFileThatIsNone) {
  std::ofstream(file()) << "short\n";
  auto vault = OpenVault(config_, data_.get());
  ASSERT_FALSE(vault);
  EXPECT_THAT(vault.error().what, HasSubstr("relay.key holds no key"));
}

}  // namespace
}  // namespace relay
