// Random numbers that are the same on every machine for a seed.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <vector>

namespace parsl_tl::testing {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  /// SplitMix64 (S. Vigna).
  std::uint64_t operator()() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
  }
  std::uint64_t below(std::uint64_t end) { return (*this)() % end; }
  bool chance(double probability) {
    return static_cast<double>((*this)() >> 11) * 0x1.0p-53 < probability;
  }
  template <typename T>
  const T& pick(const std::vector<T>& values) {
    return values[below(values.size())];
  }
  std::vector<std::uint8_t> bytes(std::size_t size) {
    std::vector<std::uint8_t> made(size);
    for (std::uint8_t& byte : made) byte = static_cast<std::uint8_t>((*this)());
    return made;
  }

 private:
  std::uint64_t state_;
};

}  // namespace parsl_tl::testing
