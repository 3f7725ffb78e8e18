// SPDX-License-Identifier: MIT
#include "admin/commands.h"

#include <gtest/gtest.h>

#include "admin/load.h"
#include "admin/reference.h"
#include "core/base/json.h"
#include "tests/admin/fixture.h"
#include "tests/admin/hearing.h"
#include "tests/admin/temporary_folder.h"

namespace relay {
namespace {

Said Hear(int (*command)(const Options&, const Environment&), const Options& options,
          Variables variables = {}) {
  return relay::Hear([&] { return command(options, EnvironmentOf(std::move(variables))); });
}

std::string ConfigText(uint16_t port) {
  return "listeners: [{address: \"0.0.0.0:" + std::to_string(port) + R"("}]
clusters: {claude: {provider: claude}}
routes:
  - {name: claude, match: {prefix: /api}, cluster: claude, filters: [{auth: {service: claude}}, {account-select: {}}]}
)";
}

constexpr const char* kHealthy = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

TEST(Usage, SaysThatNoRelayRuns) {
  TemporaryFolder folder;
  Options options;
  options.data = folder.path();
  Said said = Hear(RunUsage, options);
  EXPECT_EQ(said.code, kExitFailed);
  EXPECT_EQ(said.out, "");
  EXPECT_NE(said.err.find("no relay runs with the data folder " + folder.path()), std::string::npos)
      << said.err;
}

TEST(Usage, AWrongFileEndsWith2) {
  TemporaryFolder folder;
  Options options;
  options.config = folder.Write("relay.yaml", "routs: []\n");
  options.config_given = true;
  Said said = Hear(RunUsage, options);
  EXPECT_EQ(said.code, kExitUsage);
  EXPECT_NE(said.err.find("unknown key 'routs'"), std::string::npos);
}

TEST(Health, AUrlThatIsNoneEndsWith2) {
  Options options;
  options.url = "localhost:3000";
  EXPECT_EQ(Hear(RunHealth, options).code, kExitUsage);
}

TEST(Health, AsksTheUrl) {
  HoldingUpstream up(kHealthy);
  Options options;
  options.url = "http://127.0.0.1:" + std::to_string(up.port());
  Said said = Hear(RunHealth, options);
  EXPECT_EQ(said.code, kExitOk) << said.err;
  EXPECT_EQ(said.out, "{}\n");
}

TEST(Health, AnAnswerOtherThan200IsNotHealthy) {
  HoldingUpstream up("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}");
  Options options;
  options.url = "http://127.0.0.1:" + std::to_string(up.port());
  EXPECT_EQ(Hear(RunHealth, options).code, kExitFailed);
}

TEST(Health, WithoutAControlSocketTheFirstAddressIsAsked) {
  HoldingUpstream up(kHealthy);
  TemporaryFolder folder;
  Options options;
  options.config = folder.Write("relay.yaml", ConfigText(up.port()));
  options.config_given = true;
  Said said = Hear(RunHealth, options);
  EXPECT_EQ(said.code, kExitOk) << said.err;
}

TEST(Health, NobodyThereEndsWith1) {
  TemporaryFolder folder;
  Options options;
  Said said = Hear(RunHealth, options, {{"RELAY_DATA", folder.path()}});
  EXPECT_EQ(said.code, kExitFailed);
  EXPECT_NE(said.err.find(folder.path()), std::string::npos);
}

TEST(DataFolder, IsBesideTheStoreOrNamedByTheEnvironmentOrBesideTheFile) {
  Config config;
  config.folder = "/etc/relay";
  EXPECT_EQ(DataFolderOf(config, EnvironmentOf({})), "/etc/relay/data");
  EXPECT_EQ(DataFolderOf(config, EnvironmentOf({{"RELAY_DATA", ""}})), "/etc/relay/data");
  EXPECT_EQ(DataFolderOf(config, EnvironmentOf({{"RELAY_DATA", "/data"}})), "/data");
  EXPECT_EQ(DataFolderOf(config, EnvironmentOf({{"RELAY_DATA", "state"}})), "/etc/relay/state");
  config.store.path = "/var/lib/relay/relay.db";
  EXPECT_EQ(DataFolderOf(config, EnvironmentOf({{"RELAY_DATA", "/data"}})), "/var/lib/relay");
  config.store.path = "/relay.db";
  EXPECT_EQ(DataFolderOf(config, EnvironmentOf({})), "/");
  config.store.path = "relay.db";
  EXPECT_EQ(DataFolderOf(config, EnvironmentOf({})), ".");
}

TEST(Reference, EveryFilterAndItsOptionsArePrinted) {
  std::string text = FiltersReference();
  for (const FilterKind& kind : FilterKinds()) {
    EXPECT_NE(text.find(std::string(kind.name) + ": "), std::string::npos) << kind.name;
  }
  EXPECT_NE(text.find("rate-limit: "), std::string::npos);
  EXPECT_NE(text.find("  needs: key\n"), std::string::npos);
  EXPECT_NE(text.find("    requests-per-minute"), std::string::npos);
}

TEST(Reference, TheSchemaIsJsonAndKnowsTheFilters) {
  std::string schema = ConfigSchema();
  Result<JsonIndex> index = JsonIndex::Parse(schema);
  ASSERT_TRUE(index) << index.error().what;
  EXPECT_TRUE(index->Find("title").Equals("relay.yaml"));
  for (std::string_view known : {"\"listeners\"", "\"account-select\"", "\"strip-prefix\""}) {
    EXPECT_NE(schema.find(known), std::string::npos) << known;
  }
}

}  // namespace
}  // namespace relay
