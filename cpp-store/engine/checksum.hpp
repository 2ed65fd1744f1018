// XXH3-64, the checksum of log frames and tensors (the copy that Arrow's headers carry).
#pragma once

#include <cstddef>
#include <cstdint>

#define XXH_INLINE_ALL
#include <arrow/vendored/xxhash.h>

namespace parsl_tl {

inline std::uint64_t checksum(const void* data, std::size_t size) {
  return XXH3_64bits(data, size);
}

}  // namespace parsl_tl
