#include "stalled_connections.hpp"

#include <dirent.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace parsl_tl {
namespace {

constexpr std::chrono::milliseconds kMoment{100};

union Name {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
  sockaddr_un local;
};

/// An IPv4 address as IPv6 has it too, which gRPC's sockets are.
struct Host {
  in6_addr address{};
  in_port_t port = 0;

  explicit Host(const sockaddr_in6& v6) : address(v6.sin6_addr), port(v6.sin6_port) {}
  explicit Host(const sockaddr_in& v4) : port(v4.sin_port) {
    address.s6_addr[10] = address.s6_addr[11] = 0xFF;
    std::memcpy(&address.s6_addr[12], &v4.sin_addr, sizeof v4.sin_addr);
  }
  bool operator==(const Host& other) const {
    return port == other.port && std::memcmp(&address, &other.address, sizeof address) == 0;
  }
};

std::vector<Host> resolve(const FlightAddress& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address.port);
  if (::getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found) != 0) return {};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  std::vector<Host> hosts;
  for (const addrinfo* info = found; info; info = info->ai_next) {
    Name name{};
    std::memcpy(&name, info->ai_addr, std::min<std::size_t>(info->ai_addrlen, sizeof name));
    if (name.any.sa_family == AF_INET) hosts.emplace_back(name.v4);
    if (name.any.sa_family == AF_INET6) hosts.emplace_back(name.v6);
  }
  return hosts;
}

/// Which connections are meant.
class Wanted {
 public:
  Wanted(const FlightAddress& address, Side side) : address_(address), side_(side) {
    if (!address.is_unix() && side == Side::kClient) hosts_ = resolve(address);
  }

  bool has(int fd) const {
    Name peer{};
    Name own{};
    socklen_t peer_size = sizeof peer;
    socklen_t own_size = sizeof own;
    if (::getpeername(fd, &peer.any, &peer_size) != 0) return false;  // not even connected
    if (::getsockname(fd, &own.any, &own_size) != 0) return false;
    return is_server(side_ == Side::kClient ? peer : own);
  }

 private:
  bool is_server(const Name& name) const {
    switch (name.any.sa_family) {
      case AF_UNIX:
        return address_.is_unix() && is_socket(name.local.sun_path);
      case AF_INET:
        return is_host(Host(name.v4));
      case AF_INET6:
        return is_host(Host(name.v6));
      default:
        return false;
    }
  }

  /// A socket keeps the name under which it was bound, in the folder that was there then.
  bool is_socket(const std::string& path) const {
    return path == address_.path || path.starts_with(address_.path + ".");
  }

  bool is_host(const Host& host) const {
    if (address_.is_unix()) return false;
    if (side_ == Side::kServer) return ntohs(host.port) == address_.port;
    return std::find(hosts_.begin(), hosts_.end(), host) != hosts_.end();
  }

  const FlightAddress& address_;
  Side side_;
  std::vector<Host> hosts_;
};

struct Socket {
  int fd = -1;
  ::ino_t inode = 0;  // descriptors are used again, these are not
  int waiting_bytes = 0;
};

/// The socket as it is now, if it has bytes that the other end did not take.
bool look_at(int fd, Socket& socket) {
  struct stat info{};
  if (::fstat(fd, &info) != 0 || !S_ISSOCK(info.st_mode)) return false;
  socket = {fd, info.st_ino, 0};
  return ::ioctl(fd, SIOCOUTQ, &socket.waiting_bytes) == 0 && socket.waiting_bytes > 0;
}

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

std::vector<Socket> sockets_with_output(const Wanted& wanted) {
  std::vector<Socket> sockets;
  const std::unique_ptr<DIR, CloseFolder> folder(::opendir("/proc/self/fd"));
  if (!folder) return sockets;
  while (const dirent* entry = ::readdir(folder.get())) {
    char* end = nullptr;
    const auto fd = static_cast<int>(std::strtol(entry->d_name, &end, 10));
    Socket socket;
    if (end != entry->d_name && *end == '\0' && look_at(fd, socket) && wanted.has(fd)) {
      sockets.push_back(socket);
    }
  }
  return sockets;
}

}  // namespace

void cut_stalled_connections(const FlightAddress& address, Side side) {
  const Wanted wanted(address, side);
  const std::vector<Socket> before = sockets_with_output(wanted);
  if (before.empty()) return;
  std::this_thread::sleep_for(kMoment);
  for (const Socket& socket : before) {
    Socket now;
    if (look_at(socket.fd, now) && now.inode == socket.inode &&
        now.waiting_bytes >= socket.waiting_bytes) {
      ::shutdown(socket.fd, SHUT_RDWR);
    }
  }
}

}  // namespace parsl_tl
