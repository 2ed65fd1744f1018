// Gives memory back to the system that a server needed for a while: to take in many models, and to
// write the snapshot that they end up in.
#pragma once

#include <atomic>

#include "metrics.hpp"

namespace parsl_tl {

/// Thread-safe.
class IdleMemory {
 public:
  /// Something was changed, or is about to be.
  void note_change() noexcept { changed_ = Clock::now().time_since_epoch().count(); }
  /// To be called now and then. Once nothing has changed for a second, memory that is free goes
  /// back to the system; and a while later again, for what was still at work then.
  void release_when_quiet() noexcept;

 private:
  std::atomic<Clock::rep> changed_ = 0;
  std::atomic<Clock::rep> released_ = 0;  // of which change
  std::atomic<int> times_ = 0;            // since then
};

}  // namespace parsl_tl
