// Keeps connections small until somebody has shown the token on them.
//
// gRPC takes a message in whole before anybody can look at it, however large it is, and knows no
// limit that holds before. So the server watches its own connections: one that has brought more
// than kMostBeforeToken bytes, or has been there for kMostSilence, without a request that was let
// in, is cut. A client with more to say says first who it is; see kEnter in wire.hpp.
// The kernel wakes the thread when somebody connects, and when a stranger brings something; those
// that were let in cost nothing. gRPC reads on until the thread has looked, so strangers are also
// slowed down: the kernel takes little of theirs at a time.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>

namespace parsl_tl {

constexpr std::uint64_t kMostBeforeToken = 64 << 10;
constexpr std::chrono::seconds kMostSilence{30};
/// What the kernel takes at a time on such a connection.
constexpr int kStrangersWindow = 16 << 10;
/// Connections at once on which nobody has shown the token.
constexpr std::size_t kMostStrangers = 512;

class Gate {
 public:
  Gate();
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  /// Begins to watch the connections of the server that listens at this port of this process.
  void watch(std::uint16_t port);
  /// The connection from this peer ("ipv4:127.0.0.1:1234", as gRPC names it) may go on.
  void let_in(const std::string& peer);

 private:
  struct Stranger {
    ::ino_t inode = 0;  // descriptors are used again, these are not
    std::string peer;
    std::chrono::steady_clock::time_point since;
  };

  void run();
  void find_listeners();
  void find_strangers();
  void forget_the_gone();
  void look_at(int fd);
  bool is_let_in(const std::string& peer);
  void forget(int fd);
  void cut_old();

  std::uint16_t port_ = 0;
  int poll_ = -1;
  int end_ = -1;  // an eventfd
  std::unordered_set<int> listeners_;
  std::unordered_map<int, Stranger> strangers_;
  std::unordered_set<::ino_t> seen_;
  std::mutex mutex_;  // guards the next
  std::unordered_set<std::string> let_in_;
  std::thread thread_;
};

}  // namespace parsl_tl
