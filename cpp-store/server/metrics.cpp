#include "metrics.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace parsl_tl {
namespace {

/// Four buckets for each power of two.
std::size_t bucket_of(std::uint64_t ns) {
  if (ns < 4) return static_cast<std::size_t>(ns);
  const int octave = std::bit_width(ns) - 1;
  return static_cast<std::size_t>(4 * (octave - 1)) + ((ns >> (octave - 2)) & 3);
}

/// The middle of a bucket.
double value_of(std::size_t bucket) {
  if (bucket < 4) return static_cast<double>(bucket);
  const auto octave = static_cast<int>(bucket / 4) + 1;
  return std::ldexp(1.0 + (static_cast<double>(bucket % 4) + 0.5) / 4.0, octave);
}

void raise_to(std::atomic<std::uint64_t>& value, std::uint64_t other) noexcept {
  std::uint64_t known = value.load(std::memory_order_relaxed);
  while (known < other && !value.compare_exchange_weak(known, other, std::memory_order_relaxed)) {
  }
}

}  // namespace

void LatencyHistogram::add(std::chrono::nanoseconds duration, bool failed) noexcept {
  const auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(duration.count(), 0));
  buckets_[std::min(bucket_of(ns), kBuckets - 1)].fetch_add(1, std::memory_order_relaxed);
  sum_ns_.fetch_add(ns, std::memory_order_relaxed);
  raise_to(max_ns_, ns);
  if (failed) errors_.fetch_add(1, std::memory_order_relaxed);
}

LatencyHistogram::Summary LatencyHistogram::summary() const {
  std::array<std::uint64_t, kBuckets> counts{};
  Summary summary;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    counts[i] = buckets_[i].load(std::memory_order_relaxed);
    summary.count += counts[i];
  }
  if (summary.count == 0) return summary;
  const auto percentile = [&](double share) {
    const auto rank =
        static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(summary.count)));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      seen += counts[i];
      if (seen >= rank) return value_of(i) / 1000.0;
    }
    return 0.0;
  };
  summary.errors = errors_.load(std::memory_order_relaxed);
  summary.max_us = static_cast<double>(max_ns_.load(std::memory_order_relaxed)) / 1000.0;
  summary.mean_us = static_cast<double>(sum_ns_.load(std::memory_order_relaxed)) / 1000.0 /
                    static_cast<double>(summary.count);
  summary.p50_us = std::min(percentile(0.5), summary.max_us);
  summary.p99_us = std::min(percentile(0.99), summary.max_us);
  return summary;
}

std::int64_t RateMeter::now() noexcept {
  return std::chrono::duration_cast<std::chrono::seconds>(Clock::now().time_since_epoch()).count();
}

void RateMeter::add() noexcept {
  const std::int64_t second = now();
  Slot& slot = slots_[static_cast<std::size_t>(second) % slots_.size()];
  std::int64_t known = slot.second.load(std::memory_order_relaxed);
  // The first of a second begins the count anew; who comes at the same moment may be lost to it.
  if (known != second && slot.second.compare_exchange_strong(known, second)) slot.count = 0;
  slot.count.fetch_add(1, std::memory_order_relaxed);
}

double RateMeter::per_second() const noexcept {
  const std::int64_t second = now();
  std::uint64_t sum = 0;
  for (const Slot& slot : slots_) {
    const std::int64_t when = slot.second.load(std::memory_order_relaxed);
    // The running second is not over yet.
    if (when < second && when >= second - kSeconds)
      sum += slot.count.load(std::memory_order_relaxed);
  }
  const std::int64_t seconds = std::clamp<std::int64_t>(second - start_, 1, kSeconds);
  return static_cast<double>(sum) / static_cast<double>(seconds);
}

}  // namespace parsl_tl
