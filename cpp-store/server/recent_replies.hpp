// The replies to requests that change something, for a while: a request that is repeated because
// its reply was lost is not done a second time, and gets the same reply.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "frame.hpp"

namespace parsl_tl {

class RecentReplies {
 public:
  /// Of at most `most_bytes` bytes in all; the oldest go first.
  explicit RecentReplies(std::size_t most_bytes) : most_bytes_(most_bytes) {}

  /// Gives the reply to the client's request of this number if there was one, and else does the
  /// work. What the work throws is not remembered: then nothing was done. Throws kUnreachable if
  /// another thread is at the same request: what comes of it is not known yet.
  std::string answer(const ClientId& client, std::uint64_t number,
                     const std::function<std::string()>& work);

 private:
  using Key = std::pair<ClientId, std::uint64_t>;
  void remember(const Key& key, const std::string& reply);

  const std::size_t most_bytes_;
  std::mutex mutex_;                                   // guards the rest
  std::map<Key, std::optional<std::string>> replies_;  // nothing: at work
  std::deque<Key> order_;                              // of those that are answered
  std::size_t bytes_ = 0;
};

}  // namespace parsl_tl
