// Every instruction set gives the same checksums, whole or in pieces.
#include <memory>
#include <vector>

#include "check.hpp"
#include "checksum.hpp"
#include "checksum_kernel.hpp"
#include "random.hpp"

namespace parsl_tl::testing {
namespace {

std::vector<const ChecksumKernel*> kernels() {
  std::vector<const ChecksumKernel*> usable{&kChecksumGeneric};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) usable.push_back(&kChecksumAvx2);
  if (__builtin_cpu_supports("avx512f")) usable.push_back(&kChecksumAvx512);
#endif
  return usable;
}

std::uint64_t in_pieces(const ChecksumKernel& kernel, const std::vector<std::uint8_t>& bytes,
                        Random& random) {
  struct alignas(64) State {
    std::uint8_t bytes[sizeof(XXH3_state_t)];
  };
  const auto state = std::make_unique<State>();
  kernel.reset(state.get());
  for (std::size_t done = 0; done < bytes.size();) {
    const std::size_t most = bytes.size() - done;
    const std::size_t piece =
        std::min<std::size_t>(most, random.below(random.chance(0.5) ? 70 : 2000));
    kernel.update(state.get(), bytes.data() + done, piece);
    done += piece;
  }
  return kernel.digest(state.get());
}

CASE(checksum_kernels_agree) {
  Random random(1);
  for (int round = 0; round < 400; ++round) {
    const std::size_t size = round < 260 ? static_cast<std::size_t>(round) : random.below(20000);
    const auto bytes = random.bytes(size);
    const std::uint64_t expected = kChecksumGeneric.whole(bytes.data(), size);
    CHECK_EQ(checksum(bytes.data(), size), expected);
    for (const ChecksumKernel* kernel : kernels()) {
      CHECK_EQ(kernel->whole(bytes.data(), size), expected);
      CHECK_EQ(in_pieces(*kernel, bytes, random), expected);
    }
  }
}

CASE(checksum_stream_cut_anywhere) {
  Random random(2);
  const auto bytes = random.bytes(1500);
  const std::uint64_t expected = checksum(bytes.data(), bytes.size());
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    ChecksumStream stream;
    stream.update(bytes.data(), cut);
    stream.update(bytes.data() + cut, bytes.size() - cut);
    CHECK_EQ(stream.digest(), expected);
  }
}

CASE(checksum_known_values) {
  CHECK_EQ(checksum(nullptr, 0), 0x2D06800538D394C2U);  // of XXH3-64, by its specification
}

}  // namespace
}  // namespace parsl_tl::testing
