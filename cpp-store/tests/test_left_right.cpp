// LeftRight: readers see whole states, and states only grow newer.
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "left_right.hpp"

namespace parsl_tl::testing {
namespace {

// Few: on a busy machine, every one waits until a reader has been on a CPU.
constexpr std::uint64_t kChanges = 200;

struct Pair {
  std::uint64_t count = 0;
  std::vector<std::uint64_t> copies = std::vector<std::uint64_t>(16, 0);
};

CASE(left_right_readers_see_whole_states) {
  LeftRight<Pair> state{Pair{}};
  std::atomic<bool> stop{false};
  std::atomic<int> torn{0};
  std::atomic<std::uint64_t> reads{0};
  {
    std::vector<std::jthread> readers;
    for (int i = 0; i < 3; ++i) {
      readers.emplace_back([&] {
        std::uint64_t last = 0;
        while (!stop) {
          const auto view = state.read();
          for (const std::uint64_t copy : view->copies) torn += copy != view->count;
          torn += view->count < last;
          last = view->count;
          ++reads;
        }
      });
    }
    for (std::uint64_t i = 1; i <= kChanges; ++i) {
      const auto was = state.update([i](Pair& pair) {
        const std::uint64_t before = pair.count;
        pair.count = i;
        for (std::uint64_t& copy : pair.copies) copy = i;
        return before;
      });
      if (was != i - 1) ++torn;
    }
    while (reads < 100) std::this_thread::yield();
    stop = true;
  }
  CHECK_EQ(torn.load(), 0);
  CHECK_EQ(state.read()->count, kChanges);
}

CASE(left_right_failed_change_leaves_the_state) {
  LeftRight<Pair> state{Pair{}};
  state.update([](Pair& pair) { pair.count = 1; });
  bool thrown = false;
  try {
    state.update([](Pair& pair) {
      pair.count = 2;
      throw std::runtime_error("half way");
    });
  } catch (const std::runtime_error&) {
    thrown = true;
  }
  CHECK(thrown);
  CHECK_EQ(state.read()->count, 1U);
  state.update([](Pair& pair) { ++pair.count; });
  CHECK_EQ(state.read()->count, 2U);
  state.update([](Pair& pair) { ++pair.count; });
  CHECK_EQ(state.read()->count, 3U);  // the other side had it too
}

}  // namespace
}  // namespace parsl_tl::testing
