// SPDX-License-Identifier: MIT
#include "admin/control.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/net/tcp.h"

namespace relay {
namespace {

constexpr int kBacklog = 16;
constexpr Duration kBodyPatience = std::chrono::seconds(10);

// The path of a socket as the kernel takes it: at most 107 bytes. A longer one is reached through
// a descriptor of its folder.
class UnixPath {
 public:
  explicit UnixPath(const std::string& path) {
    address_.sun_family = AF_UNIX;
    std::string shortened = path;
    if (path.size() >= sizeof address_.sun_path) {
      size_t slash = path.rfind('/');
      std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
      folder_ = Socket(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
      if (!folder_.open()) error_ = errno;
      std::string name = path.substr(slash == std::string::npos ? 0 : slash + 1);
      shortened = "/proc/self/fd/" + std::to_string(folder_.fd()) + "/" + name;
    }
    std::memcpy(address_.sun_path, shortened.data(),
                std::min(shortened.size(), sizeof address_.sun_path - 1));
  }
  // Why it leads nowhere; 0: it may.
  int error() const { return error_; }
  const sockaddr* data() const { return reinterpret_cast<const sockaddr*>(&address_); }
  static socklen_t size() { return sizeof(sockaddr_un); }

 private:
  Socket folder_;
  int error_ = 0;
  sockaddr_un address_{};
};

Socket OpenUnix() {
  return Socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

std::unexpected<Error> FailToConnect(const std::string& path, int error) {
  Fault fault = Fault::kInternal;
  if (error == ENOENT || error == ECONNREFUSED) fault = Fault::kConnect;
  if (error == EACCES || error == EPERM) fault = Fault::kForbidden;
  if (error == EAGAIN) fault = Fault::kOverloaded;
  return Fail(Party::kRelay, fault, path + ": " + ErrnoText(error));
}

}  // namespace

// One request, from its head to the end of its answer. It goes on when who asked has left: a change
// that has begun is made, and told to all who must know.
class ControlSocket::Story final : public Mortal, public ListNode<ControlStoryTag> {
 public:
  Story(Loop& loop, const ApiRouter& router, std::unique_ptr<Stream> stream, const Head& head)
      : loop_(loop), router_(router), stream_(std::move(stream)) {
    request_.method = head.method;
    request_.path = head.path();
    request_.query = head.query();
    request_.body.reserve(head.content_length.value_or(0));
    request_.tell = [this](std::string_view line) { SendLine(line); };
  }
  void Begin() { Start(Tell()); }
  // Answers what broke the rules before it was a request.
  void BeginRefusal(const Error& why) {
    Start(Send(RefusalReply(Dialect::kPlain, ToRefusal(why), "")));
  }

 private:
  void Start(Task<Unit> task) {
    task_ = std::move(task);
    task_.StartOn(
        loop_, start_, [](void* story) noexcept { static_cast<Story*>(story)->End(); }, this);
  }
  void End() {
    Unlink();
    loop_.Bury(std::unique_ptr<Mortal>(this));
  }
  Task<Result<Unit>> ReadBody();
  Task<Unit> Tell();
  Task<Unit> Send(Reply reply);
  void SendLine(std::string_view line);

  Loop& loop_;
  const ApiRouter& router_;
  std::unique_ptr<Stream> stream_;
  bool by_lines_ = false;  // the answer has begun so
  ApiRequest request_;
  Waiter start_;
  Task<Unit> task_;
};

Task<Result<Unit>> ControlSocket::Story::ReadBody() {
  TimePoint deadline = loop_.Now() + kBodyPatience;
  while (true) {
    Result<Chunk> chunk = co_await stream_->Read(deadline);
    if (!chunk) co_return std::unexpected(std::move(chunk.error()));
    if (chunk->empty()) co_return Unit{};
    request_.body += chunk->view();
  }
}

Task<Unit> ControlSocket::Story::Tell() {
  Result<Unit> read = co_await ReadBody();
  Reply reply;
  if (read) {
    reply = co_await router_.Answer(request_);
  } else {
    reply = RefusalReply(Dialect::kPlain, ToRefusal(read.error()), "");
  }
  Unit sent = co_await Send(std::move(reply));
  co_return sent;
}

void ControlSocket::Story::SendLine(std::string_view line) {
  if (stream_->lost()) return;
  if (!std::exchange(by_lines_, true)) {
    Head head;
    head.status = 200;
    head.Add("content-type", "application/x-ndjson");
    stream_->SendHead(head, false);
  }
  stream_->Send(Chunk::Copy(std::string(line) + "\n"), false);
}

Task<Unit> ControlSocket::Story::Send(Reply reply) {
  if (stream_->lost()) co_return Unit{};
  if (by_lines_) {
    stream_->Send(Chunk::Copy(reply.body + "\n"), true);
    co_return Unit{};
  }
  Head head;
  head.status = reply.status;
  if (!reply.content_type.empty()) head.Add("content-type", reply.content_type);
  for (const auto& [name, value] : reply.headers) head.Add(name, value);
  head.content_length = reply.body.size();
  bool empty = reply.body.empty() || request_.method == "HEAD";
  stream_->SendHead(head, empty);
  if (!empty) stream_->Send(Chunk::Copy(reply.body), true);
  co_return Unit{};
}

Result<std::unique_ptr<ControlSocket>> ControlSocket::Open(Loop& loop, const std::string& path,
                                                           const ApiRouter& router) {
  auto fail = [&](int error) {
    return Fail(Party::kRelay, Fault::kConnect,
                "the control socket " + path + " cannot be opened: " + ErrnoText(error));
  };
  Socket socket = OpenUnix();
  if (!socket.open()) return fail(errno);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail(errno);
  UnixPath address(path);
  if (address.error() != 0) return fail(address.error());
  // The mode comes with the file: at no time may another user connect.
  mode_t before = ::umask(S_IRWXG | S_IRWXO | S_IXUSR);
  int bound = ::bind(socket.fd(), address.data(), UnixPath::size());
  int error = errno;
  ::umask(before);
  if (bound != 0) return fail(error);
  if (::listen(socket.fd(), kBacklog) != 0) return fail(errno);
  return std::unique_ptr<ControlSocket>(new ControlSocket(loop, path, std::move(socket), router));
}

ControlSocket::ControlSocket(Loop& loop, std::string path, Socket socket, const ApiRouter& router)
    : loop_(loop),
      path_(std::move(path)),
      socket_(std::move(socket)),
      watch_(loop, socket_, *this),
      router_(router) {
  limits_.codec.body_bytes = kBodyBytes;
  watch_.Set(SocketWatch::kReadable);
}

ControlSocket::~ControlSocket() {
  while (Story* story = stories_.PopFront()) delete story;
  connections_.ForEach([](Connection& connection) { connection.CloseNow(); });
  ::unlink(path_.c_str());
}

void ControlSocket::OnSocket(bool, bool, bool) {
  Socket socket(::accept4(socket_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!socket.open()) return;
  auto transport = std::make_unique<Tcp>(loop_, std::move(socket), Address(), TcpOptions{});
  connections_.PushBack(*ServerConnection::Start(loop_, std::move(transport), limits_, *this));
}

void ControlSocket::OnRequest(std::unique_ptr<Stream> stream, Head head) {
  auto* story = new Story(loop_, router_, std::move(stream), head);
  stories_.PushBack(*story);
  story->Begin();
}

void ControlSocket::OnRefused(std::unique_ptr<Stream> stream, Error why) {
  auto* story = new Story(loop_, router_, std::move(stream), Head());
  stories_.PushBack(*story);
  story->BeginRefusal(why);
}

Result<Socket> ConnectUnix(const std::string& path) {
  Socket socket = OpenUnix();
  if (!socket.open()) return FailToConnect(path, errno);
  UnixPath address(path);
  if (address.error() != 0) return FailToConnect(path, address.error());
  if (::connect(socket.fd(), address.data(), UnixPath::size()) != 0) {
    return FailToConnect(path, errno);
  }
  return socket;
}

}  // namespace relay
