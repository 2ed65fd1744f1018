#include "idle_memory.hpp"

#include <arrow/memory_pool.h>
#include <malloc.h>

#include <iterator>

namespace parsl_tl {
namespace {

// After the last change. Folding many models takes some seconds.
constexpr std::chrono::seconds kQuiet[] = {std::chrono::seconds(1), std::chrono::seconds(10),
                                           std::chrono::seconds(60)};

}  // namespace

void IdleMemory::release_when_quiet() noexcept {
  const Clock::rep changed = changed_;
  if (changed == 0) return;
  if (released_.exchange(changed) != changed) times_ = 0;
  const auto time = static_cast<std::size_t>(times_);
  if (time == std::size(kQuiet)) return;
  const auto quiet = Clock::now().time_since_epoch() - Clock::duration(changed);
  if (quiet < kQuiet[time]) return;
  ++times_;
  arrow::default_memory_pool()->ReleaseUnused();
  ::malloc_trim(0);
}

}  // namespace parsl_tl
