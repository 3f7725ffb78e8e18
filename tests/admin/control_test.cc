// SPDX-License-Identifier: MIT
#include "admin/control.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "admin/fetch.h"
#include "tests/admin/fixture.h"
#include "tests/admin/temporary_folder.h"

namespace relay {
namespace {

constexpr Duration kPatience = std::chrono::seconds(10);

// To write and read by hand: blocks.
PlainSocket Connect(const std::string& path) {
  auto socket = ConnectUnix(path);
  EXPECT_TRUE(socket);
  EXPECT_EQ(fcntl(socket->fd(), F_SETFL, 0), 0);
  return PlainSocket(dup(socket->fd()));
}

// Answers with what was asked.
class Echo {
 public:
  explicit Echo(Loop& loop) : go_(loop) {
    router_.Add("GET", "/large", [](ApiRequest&) -> Task<Reply> {
      return Reply{.body = std::string(size_t{3} << 20, 'x')};
    });
    router_.Add("GET", "/empty",
                [](ApiRequest&) -> Task<Reply> { return Reply{.status = 204, .body = ""}; });
    router_.Add("GET", "/lines", [this](ApiRequest& request) { return TellLines(go_, request); });
    router_.Add("GET", "/go", [this](ApiRequest&) -> Task<Reply> {
      return Reply{.body = go_.NotifyOne() ? "gone" : "nobody waits"};
    });
    router_.Add("POST", "/size", [](ApiRequest& request) -> Task<Reply> {
      return Reply{.body = std::to_string(request.body.size())};
    });
    for (const char* method : {"GET", "POST"}) {
      router_.Add(method, "/a", [](ApiRequest& request) -> Task<Reply> {
        return Reply{
            .status = 203,
            .body = request.method + " " + request.path + "?" + request.query + " " + request.body};
      });
    }
  }
  const ApiRouter& router() const { return router_; }

 private:
  static Task<Reply> TellLines(Event& go, ApiRequest& request) {
    request.tell("one");
    co_await go.Wait();
    request.tell("two");
    co_return Reply{.body = "end"};
  }

  Event go_;
  ApiRouter router_;
};

// A control socket on a thread of its own.
class ControlThread {
 public:
  explicit ControlThread(const std::string& path) {
    auto opened = ControlSocket::Open(loop_, path, echo_.router());
    EXPECT_TRUE(opened) << opened.error().what;
    if (opened) socket_ = std::move(*opened);
    thread_ = std::thread([this] {
      loop_.Run();
      socket_.reset();
    });
  }
  ~ControlThread() {
    loop_.Stop();
    thread_.join();
  }

 private:
  Loop loop_;
  Echo echo_{loop_};
  std::unique_ptr<ControlSocket> socket_;
  std::thread thread_;
};

TEST(ControlSocket, AnswersOneRequestAfterAnother) {
  TemporaryFolder folder;
  ControlThread control(folder.File("relay.sock"));
  for (int i = 0; i < 3; ++i) {
    auto fetched = FetchUnix(folder.File("relay.sock"), {.target = "/a?b=c"}, kPatience);
    ASSERT_TRUE(fetched) << fetched.error().what;
    EXPECT_EQ(fetched->status, 203);
    EXPECT_EQ(fetched->body, "GET /a?b=c ");
  }
}

TEST(ControlSocket, LongAnswersArriveWhole) {
  TemporaryFolder folder;
  ControlThread control(folder.File("relay.sock"));
  auto fetched = FetchUnix(folder.File("relay.sock"), {.target = "/large"}, kPatience);
  ASSERT_TRUE(fetched) << fetched.error().what;
  EXPECT_EQ(fetched->body.size(), size_t{3} << 20);
  auto empty = FetchUnix(folder.File("relay.sock"), {.target = "/empty"}, kPatience);
  ASSERT_TRUE(empty) << empty.error().what;
  EXPECT_EQ(empty->status, 204);
}

// The second line comes only after the first was read.
TEST(ControlSocket, TellsEachLineWhenItComes) {
  TemporaryFolder folder;
  const std::string path = folder.File("relay.sock");
  ControlThread control(path);
  std::vector<std::string> lines;
  auto on_line = [&](std::string_view line) {
    lines.emplace_back(line);
    if (line != "one") return;
    auto went = FetchUnix(path, {.target = "/go"}, kPatience);
    ASSERT_TRUE(went) << went.error().what;
    EXPECT_EQ(went->body, "gone");
  };
  auto fetched = FetchUnix(path, {.target = "/lines", .on_line = on_line}, kPatience);
  ASSERT_TRUE(fetched) << fetched.error().what;
  EXPECT_EQ(fetched->status, 200);
  EXPECT_EQ(lines, (std::vector<std::string>{"one", "two", "end"}));
  EXPECT_EQ(fetched->body, "");
}

TEST(ControlSocket, SaysWhyItTakesNoLargerBody) {
  TemporaryFolder folder;
  ControlThread control(folder.File("relay.sock"));
  std::string large(ControlSocket::kBodyBytes + 1, 'x');
  auto fetched = FetchUnix(folder.File("relay.sock"),
                           {.method = "POST", .target = "/a", .body = large}, kPatience);
  ASSERT_TRUE(fetched) << fetched.error().what;
  EXPECT_EQ(fetched->status, 413);
}

TEST(ControlSocket, TakesABodyUpToItsBound) {
  TemporaryFolder folder;
  ControlThread control(folder.File("relay.sock"));
  auto fetched = FetchUnix(folder.File("relay.sock"),
                           {.method = "POST", .target = "/a", .body = R"({"x":1})"}, kPatience);
  ASSERT_TRUE(fetched) << fetched.error().what;
  EXPECT_EQ(fetched->body, R"(POST /a? {"x":1})");
  std::string most(ControlSocket::kBodyBytes, 'x');
  auto large = FetchUnix(folder.File("relay.sock"),
                         {.method = "POST", .target = "/size", .body = most}, kPatience);
  ASSERT_TRUE(large) << large.error().what;
  EXPECT_EQ(large->body, std::to_string(most.size()));
  // Refused by its announced length; were it sent, it would race with the relay's closing.
  PlainSocket client = Connect(folder.File("relay.sock"));
  client.Send("POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
              std::to_string(most.size() + 1) + "\r\n\r\n");
  EXPECT_TRUE(client.ReadAll().starts_with("HTTP/1.1 413 "));
}

TEST(ControlSocket, IsForItsOwnUserOnlyAndGoesWithItsOwner) {
  TemporaryFolder folder;
  std::string path = folder.File("relay.sock");
  {
    ControlThread control(path);
    struct stat status{};
    ASSERT_EQ(stat(path.c_str(), &status), 0);
    EXPECT_TRUE(S_ISSOCK(status.st_mode));
    EXPECT_EQ(status.st_mode & 07777U, 0600U);
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(ControlSocket, TakesThePlaceOfOneThatWasLeftBehind) {
  TemporaryFolder folder;
  std::string path = folder.Write("relay.sock", "");
  ControlThread control(path);
  EXPECT_TRUE(FetchUnix(path, {.target = "/a"}, kPatience));
}

TEST(ControlSocket, ThePathMayBeLongerThanTheKernelTakes) {
  TemporaryFolder folder;
  std::string deep = folder.path();
  while (deep.size() < 200) deep += "/a-folder-with-a-long-name";
  std::filesystem::create_directories(deep);
  ControlThread control(deep + "/relay.sock");
  auto fetched = FetchUnix(deep + "/relay.sock", {.target = "/a"}, kPatience);
  ASSERT_TRUE(fetched) << fetched.error().what;
  EXPECT_EQ(fetched->status, 203);
}

TEST(ControlSocket, AFolderThatIsNotThereIsAnError) {
  TemporaryFolder folder;
  Loop loop;
  Echo echo(loop);
  auto opened = ControlSocket::Open(loop, folder.File("none/relay.sock"), echo.router());
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().what.find("none/relay.sock"), std::string::npos);
}

TEST(ControlSocket, BytesThatAreNoRequestAreRefused) {
  TemporaryFolder folder;
  std::string path = folder.File("relay.sock");
  ControlThread control(path);
  PlainSocket client = Connect(path);
  client.Send("NONSENSE\r\n\r\n");
  EXPECT_TRUE(client.ReadAll().starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(FetchUnix(path, {.target = "/a"}, kPatience))
      << "the next one is served all the same";
}

TEST(Fetch, SaysWhyNobodyAnswers) {
  TemporaryFolder folder;
  auto missing = FetchUnix(folder.File("relay.sock"), {.target = "/a"}, kPatience);
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().what.find("relay.sock"), std::string::npos);
  folder.Write("relay.sock", "");
  EXPECT_FALSE(FetchUnix(folder.File("relay.sock"), {.target = "/a"}, kPatience));
}

TEST(Fetch, DoesNotWaitLongerThanItsPatience) {
  HoldingUpstream silent("");
  auto fetched = FetchUrl(Url{false, "127.0.0.1", silent.port(), ""}, {.target = "/health"},
                          std::chrono::milliseconds(50));
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().fault, Fault::kTimeout);
}

TEST(Fetch, ReadsAnAnswerFromAnAddress) {
  HoldingUpstream upstream("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  auto fetched =
      FetchUrl(Url{false, "127.0.0.1", upstream.port(), ""}, {.target = "/health"}, kPatience);
  ASSERT_TRUE(fetched) << fetched.error().what;
  EXPECT_EQ(fetched->status, 200);
  EXPECT_EQ(fetched->body, "ok");
}

TEST(Fetch, AnAnswerThatIsCutOffIsNone) {
  HoldingUpstream upstream("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nok");
  auto fetched = FetchUrl(Url{false, "127.0.0.1", upstream.port(), ""}, {.target = "/health"},
                          std::chrono::milliseconds(50));
  EXPECT_FALSE(fetched);
}

}  // namespace
}  // namespace relay
