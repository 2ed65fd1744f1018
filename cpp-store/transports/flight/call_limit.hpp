// How many requests are handled at once: gRPC gives every call a thread, and most of them wait.
#pragma once

#include <arrow/flight/server.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

namespace parsl_tl {

class CallLimit {
 public:
  explicit CallLimit(unsigned count) : free_(std::max(count, 1U)) {}

  /// Waits for a slot. False if the client is gone, which nothing but asking tells.
  bool acquire(const arrow::flight::ServerCallContext& context) {
    std::unique_lock lock(mutex_);
    while (!freed_.wait_for(lock, kAskAgain, [this] { return free_ > 0; })) {
      if (context.is_cancelled()) return false;
    }
    --free_;
    return true;
  }

  void release() {
    {
      const std::lock_guard lock(mutex_);
      ++free_;
    }
    freed_.notify_one();
  }

 private:
  static constexpr std::chrono::milliseconds kAskAgain{50};

  std::mutex mutex_;
  std::condition_variable freed_;
  unsigned free_;
};

/// One call's slot: held from the start, given up while it waits for its client.
class CallSlot {
 public:
  CallSlot(CallLimit& limit, const arrow::flight::ServerCallContext& context)
      : limit_(limit), context_(context), held_(limit.acquire(context)) {}
  ~CallSlot() { pause(); }
  CallSlot(const CallSlot&) = delete;
  CallSlot& operator=(const CallSlot&) = delete;

  bool held() const noexcept { return held_; }
  void pause() {
    if (held_) limit_.release();
    held_ = false;
  }
  /// False if the client is gone; its call comes to its end without a slot.
  bool resume() {
    held_ = held_ || limit_.acquire(context_);
    return held_;
  }

 private:
  CallLimit& limit_;
  const arrow::flight::ServerCallContext& context_;
  bool held_;
};

}  // namespace parsl_tl
