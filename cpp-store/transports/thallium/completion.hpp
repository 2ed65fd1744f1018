// Waiting for what Mercury does, from ordinary threads. (Argobots' own means would do as well, but
// none of them lets a thread give up at a deadline and leave the work behind.)
#pragma once

#include <mercury.h>

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace parsl_tl::mochi {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

/// Whether one thing has ended, and how.
class Completion {
 public:
  /// The caller keeps this alive until it returns.
  void set(hg_return_t result) {
    {
      const std::lock_guard guard(mutex_);
      done_ = true;
      result_ = result;
    }
    // With the lock held, who wakes up would have to wait once more.
    changed_.notify_all();
  }

  /// False if it has not ended by then.
  bool wait_until(TimePoint deadline) {
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, deadline, [&] { return done_; });
  }

  hg_return_t result() {
    const std::lock_guard guard(mutex_);
    return result_;
  }

 private:
  std::mutex mutex_;  // guards all of it
  std::condition_variable changed_;
  bool done_ = false;
  hg_return_t result_ = HG_SUCCESS;
};

}  // namespace parsl_tl::mochi
