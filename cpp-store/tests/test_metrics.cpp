// What servers count.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>
#include <vector>

#include "check.hpp"
#include "metrics.hpp"
#include "random.hpp"

namespace parsl_tl::testing {
namespace {

using std::chrono::nanoseconds;

bool is_near(double value, double expected, double share) {
  return std::abs(value - expected) <= share * expected;
}

CASE(latencies_of_nothing) {
  const LatencyHistogram histogram;
  const auto summary = histogram.summary();
  CHECK_EQ(summary.count, 0U);
  CHECK_EQ(summary.p99_us, 0.0);
}

CASE(latencies_are_right_to_a_tenth) {
  Random random(1);
  for (int round = 0; round < 20; ++round) {
    LatencyHistogram histogram;
    std::vector<std::int64_t> all;
    double sum = 0;
    for (int i = 0; i < 2000; ++i) {
      const auto ns = static_cast<std::int64_t>(64 + (random() >> (24 + random.below(34))));
      all.push_back(ns);
      sum += static_cast<double>(ns);
      histogram.add(nanoseconds(ns), i % 10 == 0);
    }
    std::sort(all.begin(), all.end());
    const auto summary = histogram.summary();
    CHECK_EQ(summary.count, 2000U);
    CHECK_EQ(summary.errors, 200U);
    CHECK(is_near(summary.mean_us, sum / 2000 / 1000, 1e-9));
    CHECK(is_near(summary.max_us, static_cast<double>(all.back()) / 1000, 1e-9));
    CHECK(is_near(summary.p50_us, static_cast<double>(all[999]) / 1000, 0.13));
    CHECK(is_near(summary.p99_us, static_cast<double>(all[1979]) / 1000, 0.13));
  }
}

CASE(latencies_at_the_edges) {
  LatencyHistogram histogram;
  for (const std::int64_t ns : {std::int64_t{-5}, std::int64_t{0}, std::int64_t{1}, std::int64_t{3},
                                std::int64_t{4}, std::int64_t{1} << 50, INT64_MAX}) {
    histogram.add(nanoseconds(ns), false);
  }
  const auto summary = histogram.summary();
  CHECK_EQ(summary.count, 7U);
  CHECK(summary.p50_us <= 0.004);
  CHECK(is_near(summary.max_us, static_cast<double>(INT64_MAX) / 1000, 1e-9));
}

CASE(metrics_of_many_threads) {
  LatencyHistogram histogram;
  RateMeter rate;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&] {
        for (int i = 0; i < 10'000; ++i) {
          histogram.add(nanoseconds(i), i % 100 == 0);
          rate.add();
          if (i % 1000 == 0) static_cast<void>(histogram.summary());
        }
      });
    }
  }
  const auto summary = histogram.summary();
  CHECK_EQ(summary.count, 40'000U);
  CHECK_EQ(summary.errors, 400U);
  CHECK_EQ(summary.max_us, 9.999);
}

CASE(rate_of_the_last_seconds) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  RateMeter rate;
  CHECK_EQ(rate.per_second(), 0.0);
  for (int i = 0; i < 100; ++i) rate.add();
  // Seconds count when they are over.
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  const double after_one = rate.per_second();
  const std::chrono::duration<double> passed = Clock::now() - start;
  CHECK(after_one >= 100.0 / (passed.count() + 1.0) && after_one <= 100.0);
  std::this_thread::sleep_for(std::chrono::milliseconds(2000));
  CHECK(rate.per_second() < after_one);
}

CASE(recent_mean_follows_what_is_usual) {
  using std::chrono::microseconds;
  RecentMean mean(microseconds(1000));
  for (int i = 0; i < 60; ++i) mean.add(microseconds(5));
  CHECK(mean.get() >= microseconds(4) && mean.get() < microseconds(6));
  mean.add(microseconds(1000));
  CHECK(mean.get() > microseconds(100));
  for (int i = 0; i < 60; ++i) mean.add(microseconds(5));
  CHECK(mean.get() < microseconds(6));
}

}  // namespace
}  // namespace parsl_tl::testing
