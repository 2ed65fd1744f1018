// Segment files whose directory has the right checksum.
#include <cstdlib>
#include <numeric>

#include "segment.hpp"
#include "wrap.hpp"

namespace parsl_tl::fuzz {
namespace {

constexpr std::uint64_t kId = 0x0123456789ABCDEF;

void read_segment(Input bytes) {
  const MemoryFile file(bytes);
  answer([&] {
    Segment segment(file.path(), kId, false);
    std::uint64_t sum = 0;
    for (std::uint32_t i = 0; i < segment.directory().size(); ++i) {
      const TensorInfo& info = segment.directory()[i];
      const auto range = segment.find(info.key);
      if (!range || i < range->first || i >= range->first + range->count) std::abort();
      answer([&] { segment.check(i, "a layer"); });
      answer([&] {
        const auto tensor = segment.tensor(i, "a layer");
        if (tensor.size() != info.size) std::abort();
        sum = std::accumulate(tensor.begin(), tensor.end(), sum);
      });
    }
    [[maybe_unused]] static volatile std::uint64_t seen;
    seen = sum;
  });
}

}  // namespace
}  // namespace parsl_tl::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parsl_tl::fuzz;
  const Input input(data, size);
  read_segment(input);
  read_segment(sealed_segment(input, kId));
  parsl_tl::fuzz::answer([&] { parsl_tl::parse_directory(input, 1 << 20); });
  return 0;
}
