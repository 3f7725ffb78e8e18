// SPDX-License-Identifier: MIT
#include "admin/ask.h"

#include <gtest/gtest.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <vector>

#include "admin/control.h"
#include "admin/explain.h"
#include "admin/load.h"
#include "core/net/socket.h"
#include "tests/admin/fixture.h"
#include "tests/admin/hearing.h"
#include "tests/admin/temporary_folder.h"

namespace relay {
namespace {

constexpr std::string_view kConfig = R"(listeners: [{address: "127.0.0.1:0"}]
keys: [{name: alice, key: cr_a-key-of-ask-test}]
clusters: {claude: {provider: claude, accounts: [{name: only, api-key: sk-ant-ask-test}]}}
routes:
  - {name: claude, match: {prefix: /api}, cluster: claude, filters: [{auth: {service: claude}}, {account-select: {}}]}
)";

// A data folder with a control socket on which nobody ever answers.
class SilentRelay {
 public:
  explicit SilentRelay(int backlog)
      : listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
        config_(folder_.Write("relay.yaml", std::string(kConfig))),
        body_(folder_.Write("body.json", R"({"model":"claude-opus-5-5","max_tokens":5})")) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, socket().data(), socket().size());
    EXPECT_EQ(::bind(listener_.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_.fd(), backlog), 0);
  }
  std::string socket() const { return folder_.File(std::string(kControlSocket)); }
  const std::string& folder() const { return folder_.path(); }
  void Leave() { listener_ = Socket(); }
  // Until no other is let in.
  void Fill() {
    constexpr size_t kEnough = 100;
    while (waiting_.size() < kEnough) {
      Result<Socket> one = ConnectUnix(socket());
      if (!one) return;
      waiting_.push_back(std::move(*one));
    }
    ADD_FAILURE() << "the backlog has no end";
  }

  Said Usage(Duration patience) const {
    Options options;
    options.data = folder();
    return Hear([&] {
      auto answer = AskRelay(options, EnvironmentOf({}), {.target = "/health"}, patience);
      return answer ? kExitOk : answer.error();
    });
  }
  Said Explain() const {
    Options options;
    options.config = config_;
    options.config_given = true;
    options.names = {"POST", "/api/v1/messages"};
    options.key = "alice";
    options.body = body_;
    return Hear([&] { return RunExplain(options, EnvironmentOf({{"RELAY_DATA", folder()}})); });
  }

 private:
  TemporaryFolder folder_;
  Socket listener_;
  std::string config_;
  std::string body_;
  std::vector<Socket> waiting_;
};

// Files are closed to this thread, be it root's or not.
class AnotherUser {
 public:
  explicit AnotherUser(const std::string& file) {
    EXPECT_EQ(::chmod(file.c_str(), 0), 0);
    before_ = ::setfsuid(kNobody);
  }
  ~AnotherUser() { ::setfsuid(static_cast<uid_t>(before_)); }
  AnotherUser(const AnotherUser&) = delete;
  AnotherUser& operator=(const AnotherUser&) = delete;

 private:
  static constexpr uid_t kNobody = 65534;
  int before_ = 0;
};

constexpr Duration kShort = std::chrono::milliseconds(50);

void ExpectSaid(const Said& said, std::string_view what) {
  EXPECT_EQ(said.code, kExitFailed);
  EXPECT_EQ(said.out, "");
  EXPECT_NE(said.err.find(what), std::string::npos) << said.err;
}

TEST(Ask, ARelayThatIsNotThereIsSaidToBeNone) {
  SilentRelay relay(1);
  relay.Leave();
  ExpectSaid(relay.Usage(kShort), "no relay runs with the data folder " + relay.folder());
  ASSERT_EQ(::unlink(relay.socket().c_str()), 0);
  ExpectSaid(relay.Usage(kShort), "no relay runs with the data folder " + relay.folder());
}

TEST(Ask, ARelayThatIsSilentIsNotSaidToBeNone) {
  SilentRelay relay(4);
  Said said = relay.Usage(kShort);
  ExpectSaid(said, "gave no answer: no answer came in time");
  EXPECT_EQ(said.err.find("no relay runs"), std::string::npos) << said.err;
}

TEST(Ask, ARelayOfAnotherUserIsNotSaidToBeNone) {
  SilentRelay relay(4);
  AnotherUser user(relay.socket());
  Said said = relay.Usage(kShort);
  ExpectSaid(said, "is another user's");
  EXPECT_NE(said.err.find("permission denied"), std::string::npos) << said.err;
}

TEST(Ask, ARelayThatTakesNoMoreIsNotSaidToBeNone) {
  SilentRelay relay(0);
  relay.Fill();
  ExpectSaid(relay.Usage(kShort), "takes no further connection now");
}

TEST(Ask, AFolderWithALongNameIsLookedIntoAsAnyOther) {
  TemporaryFolder folder;
  const std::string deep = folder.File(std::string(150, 'x'));
  std::filesystem::create_directories(deep);
  ASSERT_EQ(::chmod(folder.path().c_str(), 0), 0);
  {
    AnotherUser user(folder.path());
    Result<Socket> socket = ConnectUnix(deep + "/relay.sock");
    ASSERT_FALSE(socket);
    EXPECT_EQ(socket.error().fault, Fault::kForbidden) << socket.error().what;
  }
  ASSERT_EQ(::chmod(folder.path().c_str(), 0700), 0);
  EXPECT_EQ(ConnectUnix(deep + "/relay.sock").error().fault, Fault::kConnect);
}

TEST(Explain, GoesByTheFileAloneOnlyWhereNoRelayRuns) {
  SilentRelay relay(0);
  relay.Fill();
  ExpectSaid(relay.Explain(), "takes no further connection now");
  relay.Leave();
  Said alone = relay.Explain();
  EXPECT_EQ(alone.code, kExitOk);
  EXPECT_TRUE(alone.out.starts_with("served by claude/only")) << alone.out;
  EXPECT_NE(alone.err.find("no relay runs with its data folder"), std::string::npos) << alone.err;
}

}  // namespace
}  // namespace relay
