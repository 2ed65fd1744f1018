// What a server counts: requests by kind, how long they took, and bytes.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

namespace parsl_tl {

using Clock = std::chrono::steady_clock;

/// Durations in buckets that grow by a quarter of an octave: percentiles are right to some 10 %.
class LatencyHistogram {
 public:
  void add(std::chrono::nanoseconds duration, bool failed) noexcept;

  struct Summary {
    std::uint64_t count = 0;
    std::uint64_t errors = 0;
    double mean_us = 0.0;
    double p50_us = 0.0;
    double p99_us = 0.0;
    double max_us = 0.0;
  };
  Summary summary() const;

 private:
  static constexpr std::size_t kBuckets = 160;  // up to 2^40 ns
  std::array<std::atomic<std::uint64_t>, kBuckets> buckets_{};
  std::atomic<std::uint64_t> errors_ = 0;
  std::atomic<std::uint64_t> sum_ns_ = 0;
  std::atomic<std::uint64_t> max_ns_ = 0;
};

/// What something took lately: a mean in which the last ones count most.
class RecentMean {
 public:
  explicit RecentMean(std::chrono::nanoseconds at_first = std::chrono::milliseconds(1))
      : mean_ns_(at_first.count()) {}

  void add(std::chrono::nanoseconds duration) noexcept {
    // Of two at once one may be lost, which matters little.
    const std::int64_t mean = mean_ns_.load(std::memory_order_relaxed);
    mean_ns_.store(mean + (duration.count() - mean) / kWeight, std::memory_order_relaxed);
  }
  std::chrono::nanoseconds get() const noexcept {
    return std::chrono::nanoseconds(mean_ns_.load(std::memory_order_relaxed));
  }

 private:
  static constexpr std::int64_t kWeight = 8;
  std::atomic<std::int64_t> mean_ns_;
};

/// Events in the last seconds.
class RateMeter {
 public:
  void add() noexcept;
  double per_second() const noexcept;

 private:
  static constexpr std::int64_t kSeconds = 10;
  struct Slot {
    std::atomic<std::int64_t> second = -1;
    std::atomic<std::uint64_t> count = 0;
  };
  static std::int64_t now() noexcept;
  // One more than is looked at, for the second that has just begun.
  std::array<Slot, kSeconds + 1> slots_;
  const std::int64_t start_ = now();
};

}  // namespace parsl_tl
