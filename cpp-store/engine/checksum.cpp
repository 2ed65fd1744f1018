#include "checksum.hpp"

#include <new>

#include "checksum_kernel.hpp"

namespace parsl_tl {
namespace {

const ChecksumKernel& kernel() {
#if defined(__x86_64__)
  static const ChecksumKernel& chosen = __builtin_cpu_supports("avx512f") ? kChecksumAvx512
                                        : __builtin_cpu_supports("avx2")  ? kChecksumAvx2
                                                                          : kChecksumGeneric;
  return chosen;
#else
  return kChecksumGeneric;
#endif
}

}  // namespace

std::uint64_t checksum(const void* data, std::size_t size) { return kernel().whole(data, size); }

const char* checksum_instructions() { return kernel().name; }

ChecksumStream::ChecksumStream()
    : state_(::operator new(sizeof(XXH3_state_t), std::align_val_t(alignof(XXH3_state_t)))) {
  kernel().reset(state_.get());
}

void ChecksumStream::Release::operator()(void* state) const noexcept {
  ::operator delete(state, std::align_val_t(alignof(XXH3_state_t)));
}

void ChecksumStream::update(const void* data, std::size_t size) {
  kernel().update(state_.get(), data, size);
}

std::uint64_t ChecksumStream::digest() const { return kernel().digest(state_.get()); }

}  // namespace parsl_tl
