// A server's clock, as a client knows it.
//
// Calls state their deadlines by the server's own clock. Time that is left would not do: a request
// may lie in a socket while the server is stopped, and a server that goes on later must see that
// its client has given up, and leave the client's memory alone.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>

#include "completion.hpp"

namespace parsl_tl::mochi {

/// Nanoseconds of this process's own clock.
inline std::int64_t nanos(TimePoint time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

class ServerClock {
 public:
  /// The server's clock showed this before it sent what has just arrived here. What it is ahead of
  /// ours is at least the difference, so that a deadline told by it is never too late; too early by
  /// what the message took.
  void note(std::int64_t server_nanos) {
    const std::lock_guard guard(mutex_);
    const std::int64_t now = nanos(Clock::now());
    const std::int64_t ahead = server_nanos - now;
    // The largest one is the best, but for what clocks drift apart.
    if (!noted_ || ahead >= noted_->ahead - (now - noted_->at) / kDrift) noted_ = {ahead, now};
  }

  void forget() {
    const std::lock_guard guard(mutex_);
    noted_.reset();
  }

  /// Our time by the server's clock; nothing as long as nothing is known.
  std::optional<std::int64_t> at(TimePoint time) const {
    const std::lock_guard guard(mutex_);
    if (!noted_) return std::nullopt;
    return nanos(time) + noted_->ahead - (nanos(Clock::now()) - noted_->at) / kDrift;
  }

 private:
  // One part in this number; crystals keep well below.
  static constexpr std::int64_t kDrift = 5'000;
  struct Noted {
    std::int64_t ahead;
    std::int64_t at;
  };

  mutable std::mutex mutex_;  // guards noted_
  std::optional<Noted> noted_;
};

}  // namespace parsl_tl::mochi
