// The time of day, as records carry it.
#pragma once

#include <chrono>
#include <cstdint>

namespace parsl_tl {

/// Nanoseconds since 1970.
inline std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace parsl_tl
