// XXH3-64, the checksum of log frames, snapshots and tensors (the copy that Arrow's headers carry).
//
// Compiled once for each instruction set; the fastest that this CPU has is chosen at start-up, so
// that one binary verifies at memory speed everywhere. All give the same values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace parsl_tl {

std::uint64_t checksum(const void* data, std::size_t size);

/// Name of the instruction set in use: "generic", "avx2" or "avx512".
const char* checksum_instructions();

/// The checksum of data that comes in pieces; equal to `checksum` over all of them.
class ChecksumStream {
 public:
  ChecksumStream();
  void update(const void* data, std::size_t size);
  std::uint64_t digest() const;

 private:
  struct Release {
    void operator()(void* state) const noexcept;
  };
  std::unique_ptr<void, Release> state_;
};

}  // namespace parsl_tl
