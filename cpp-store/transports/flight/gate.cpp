#include "gate.hpp"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "errors.hpp"

namespace parsl_tl {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLook{5};
// How often it looks while gRPC takes in somebody who has just come.
constexpr std::chrono::microseconds kHurriedLook{50};
// The kernel's own bound of a window, which is below this, holds again.
constexpr int kAnyWindow = 1 << 30;
constexpr std::chrono::milliseconds kTidy{500};

union SocketName {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

std::optional<std::uint16_t> port_of(const SocketName& name) {
  if (name.any.sa_family == AF_INET) return ntohs(name.v4.sin_port);
  if (name.any.sa_family == AF_INET6) return ntohs(name.v6.sin6_port);
  return std::nullopt;
}

/// "127.0.0.1:80" or "::1:80": an IPv4 address in the clothes of IPv6 is one of IPv4.
std::string text_of(const SocketName& name) {
  char text[INET6_ADDRSTRLEN] = "";
  const auto port = std::to_string(port_of(name).value_or(0));
  if (name.any.sa_family == AF_INET) {
    ::inet_ntop(AF_INET, &name.v4.sin_addr, text, sizeof text);
  } else if (IN6_IS_ADDR_V4MAPPED(&name.v6.sin6_addr)) {
    ::inet_ntop(AF_INET, &name.v6.sin6_addr.s6_addr[12], text, sizeof text);
  } else {
    ::inet_ntop(AF_INET6, &name.v6.sin6_addr, text, sizeof text);
  }
  return std::string(text) + ":" + port;
}

/// The same from gRPC's name: "ipv4:127.0.0.1:80", "ipv6:%5B::1%5D:80".
std::string text_of_peer(const std::string& peer) {
  std::string text = peer.substr(peer.find(':') + 1);
  for (const char* bracket : {"%5B", "%5D", "[", "]"}) {
    if (const auto at = text.find(bracket); at != std::string::npos) {
      text.erase(at, std::strlen(bracket));
    }
  }
  if (const auto zone = text.find('%'); zone != std::string::npos) {
    text.erase(zone, text.rfind(':') - zone);
  }
  return text;
}

std::optional<::ino_t> inode_of(int fd) {
  struct stat info{};
  if (::fstat(fd, &info) != 0 || !S_ISSOCK(info.st_mode)) return std::nullopt;
  return info.st_ino;
}

std::optional<tcp_info> state_of(int fd) {
  tcp_info state{};
  socklen_t size = sizeof state;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &size) != 0) return std::nullopt;
  return state;
}

/// Calls `visit` for each socket of this process that has this port of its own. Descriptors are
/// given from the lowest on, so that there are few gaps; asking the kernel for each is cheaper than
/// reading /proc.
template <typename Visit>
void for_each_socket(std::uint16_t port, Visit visit) {
  constexpr int kWidestGap = 64;
  for (int fd = 0, gap = 0; gap < kWidestGap; ++fd) {
    SocketName own{};
    socklen_t size = sizeof own;
    if (::getsockname(fd, &own.any, &size) != 0) {
      gap = errno == EBADF ? gap + 1 : 0;
      continue;
    }
    gap = 0;
    if (port_of(own) == port) visit(fd);
  }
}

template <typename Visit>
void for_each_connection(std::uint16_t port, Visit visit) {
  for_each_socket(port, [&](int fd) {
    SocketName peer{};
    socklen_t size = sizeof peer;
    if (::getpeername(fd, &peer.any, &size) != 0) return;
    if (const auto inode = inode_of(fd)) visit(fd, *inode, text_of(peer));
  });
}

bool is_listening(int fd) {
  int listens = 0;
  socklen_t size = sizeof listens;
  return ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0;
}

/// How many bytes the kernel takes of the other end before they are read.
void set_window(int fd, int bytes) {
  ::setsockopt(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &bytes, sizeof bytes);  // gone already: no matter
}

void add(int poll, int fd, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  ::epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);  // gone already: then there is nothing to watch
}

}  // namespace

Gate::Gate() : poll_(::epoll_create1(EPOLL_CLOEXEC)), end_(::eventfd(0, EFD_CLOEXEC)) {
  if (poll_ < 0 || end_ < 0) throw_errno(errno, "cannot watch", "the server's connections");
  add(poll_, end_, EPOLLIN);
}

Gate::~Gate() {
  const std::uint64_t one = 1;
  if (::write(end_, &one, sizeof one) == sizeof one && thread_.joinable()) thread_.join();
  ::close(end_);
  ::close(poll_);
}

void Gate::watch(std::uint16_t port) {
  port_ = port;
  thread_ = std::thread([this] { run(); });
}

void Gate::let_in(const std::string& peer) {
  const std::lock_guard guard(mutex_);
  let_in_.insert(text_of_peer(peer));
}

bool Gate::is_let_in(const std::string& peer) {
  const std::lock_guard guard(mutex_);
  return let_in_.contains(peer);
}

void Gate::find_listeners() {
  for_each_socket(port_, [this](int fd) {
    if (is_listening(fd) && listeners_.insert(fd).second) add(poll_, fd, EPOLLIN | EPOLLET);
  });
}

void Gate::find_strangers() {
  for_each_connection(port_, [this](int fd, ::ino_t inode, const std::string& peer) {
    if (!seen_.insert(inode).second) return;
    strangers_[fd] = {inode, peer, Clock::now()};
    set_window(fd, kStrangersWindow);
    add(poll_, fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
    look_at(fd);
  });
}

void Gate::forget_the_gone() {
  std::unordered_set<std::string> known;  // so far: who comes while this looks is not forgotten
  {
    const std::lock_guard guard(mutex_);
    known = let_in_;
  }
  std::unordered_set<::ino_t> living;
  std::unordered_set<std::string> peers;
  for_each_connection(port_, [&](int, ::ino_t inode, const std::string& peer) {
    living.insert(inode);
    peers.insert(peer);
  });
  std::erase_if(seen_, [&](::ino_t inode) { return !living.contains(inode); });
  const std::lock_guard guard(mutex_);
  for (const std::string& peer : known) {
    if (!peers.contains(peer)) let_in_.erase(peer);
  }
}

void Gate::forget(int fd) {
  strangers_.erase(fd);
  ::epoll_ctl(poll_, EPOLL_CTL_DEL, fd, nullptr);
}

void Gate::look_at(int fd) {
  const auto found = strangers_.find(fd);
  if (found == strangers_.end()) return;
  if (inode_of(fd) != found->second.inode) {  // closed, and used again
    strangers_.erase(found);
    return;
  }
  if (is_let_in(found->second.peer)) {
    set_window(fd, kAnyWindow);
    return forget(fd);
  }
  const auto state = state_of(fd);
  if (state && state->tcpi_bytes_received <= kMostBeforeToken) return;
  ::shutdown(fd, SHUT_RDWR);
  forget(fd);
}

void Gate::cut_old() {
  const auto now = Clock::now();
  std::vector<int> gone;
  std::vector<std::pair<Clock::time_point, int>> by_age;
  for (const auto& [fd, stranger] : strangers_) {
    if (inode_of(fd) != stranger.inode) {
      gone.push_back(fd);
    } else if (is_let_in(stranger.peer)) {
      set_window(fd, kAnyWindow);
      gone.push_back(fd);
    } else {
      by_age.emplace_back(stranger.since, fd);
    }
  }
  std::sort(by_age.begin(), by_age.end());
  for (std::size_t i = 0; i < by_age.size(); ++i) {
    const bool is_too_many = by_age.size() - i > kMostStrangers;
    if (!is_too_many && by_age[i].first + kMostSilence > now) break;
    ::shutdown(by_age[i].second, SHUT_RDWR);
    gone.push_back(by_age[i].second);
  }
  for (const int fd : gone) forget(fd);
}

void Gate::run() {
  find_listeners();
  auto look = Clock::now();
  auto tidy = look + kTidy;
  auto hurry = look;  // until then somebody who has come may not have been found yet
  for (;;) {
    epoll_event events[64];
    const bool hurries = Clock::now() < hurry;
    const int wait = hurries ? 0 : static_cast<int>(kLook.count());
    const int count = ::epoll_wait(poll_, events, 64, wait);
    for (int i = 0; i < count; ++i) {
      if (events[i].data.fd == end_) return;
      if (listeners_.contains(events[i].data.fd)) hurry = Clock::now() + kLook;
      look_at(events[i].data.fd);
    }
    if (hurries && count == 0) std::this_thread::sleep_for(kHurriedLook);
    const auto now = Clock::now();
    if (now >= look || now < hurry) {
      find_strangers();
      look = Clock::now() + kLook;
    }
    if (now >= tidy) {
      forget_the_gone();
      cut_old();
      tidy = now + kTidy;
    }
  }
}

}  // namespace parsl_tl
