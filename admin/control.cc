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
      std::string name = path.substr(slash == std::string::npos ? 0 : slash + 1);
      shortened = "/proc/self/fd/" + std::to_string(folder_.fd()) + "/" + name;
    }
    std::memcpy(address_.sun_path, shortened.data(),
                std::min(shortened.size(), sizeof address_.sun_path - 1));
  }
  const sockaddr* data() const { return reinterpret_cast<const sockaddr*>(&address_); }
  static socklen_t size() { return sizeof(sockaddr_un); }

 private:
  Socket folder_;
  sockaddr_un address_{};
};

Socket OpenUnix() {
  return Socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

}  // namespace

// Holds a stream whose answer was given, until the loop is out of the codec that asked.
class ControlSocket::Pending final : public Mortal {
 public:
  explicit Pending(std::unique_ptr<Stream> stream) : stream_(std::move(stream)) {}

 private:
  std::unique_ptr<Stream> stream_;
};

Result<std::unique_ptr<ControlSocket>> ControlSocket::Open(Loop& loop, const std::string& path,
                                                           ControlHandler& handler) {
  auto fail = [&](int error) {
    return Fail(Party::kRelay, Fault::kConnect,
                "the control socket " + path + " cannot be opened: " + ErrnoText(error));
  };
  Socket socket = OpenUnix();
  if (!socket.open()) return fail(errno);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail(errno);
  UnixPath address(path);
  // The mode comes with the file: at no time may another user connect.
  mode_t before = ::umask(S_IRWXG | S_IRWXO | S_IXUSR);
  int bound = ::bind(socket.fd(), address.data(), UnixPath::size());
  int error = errno;
  ::umask(before);
  if (bound != 0) return fail(error);
  if (::listen(socket.fd(), kBacklog) != 0) return fail(errno);
  return std::unique_ptr<ControlSocket>(new ControlSocket(loop, path, std::move(socket), handler));
}

ControlSocket::ControlSocket(Loop& loop, std::string path, Socket socket, ControlHandler& handler)
    : loop_(loop),
      path_(std::move(path)),
      socket_(std::move(socket)),
      watch_(loop, socket_, *this),
      handler_(handler) {
  watch_.Set(SocketWatch::kReadable);
}

ControlSocket::~ControlSocket() {
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
  Reply reply = handler_.OnControl(head);
  Answer(std::move(stream), reply, head.method != "HEAD");
}

void ControlSocket::OnRefused(std::unique_ptr<Stream> stream, Error why) {
  Answer(std::move(stream), RefusalReply(Dialect::kPlain, ToRefusal(why), ""), true);
}

void ControlSocket::Answer(std::unique_ptr<Stream> stream, const Reply& reply, bool with_body) {
  Head head;
  head.status = reply.status;
  head.Add("content-type", reply.content_type);
  head.content_length = reply.body.size();
  bool empty = reply.body.empty() || !with_body;
  stream->SendHead(head, empty);
  if (!empty) stream->Send(Chunk::Copy(reply.body), true);
  loop_.Bury(std::make_unique<Pending>(std::move(stream)));
}

Result<Socket> ConnectUnix(const std::string& path) {
  Socket socket = OpenUnix();
  UnixPath address(path);
  if (!socket.open() || ::connect(socket.fd(), address.data(), UnixPath::size()) != 0) {
    return Fail(Party::kRelay, Fault::kConnect, path + ": " + ErrnoText(errno));
  }
  return socket;
}

}  // namespace relay
