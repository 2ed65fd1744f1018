#include "byte_source.hpp"

#include <algorithm>
#include <string>

#include "errors.hpp"

namespace parsl_tl {

std::span<const std::uint8_t> AnnouncedBytes::next(std::uint64_t most) {
  if (piece_.empty()) piece_ = source_.take();
  if (piece_.empty()) refuse("", taken_);
  const auto bytes = piece_.first(std::min<std::uint64_t>(most, piece_.size()));
  piece_ = piece_.subspan(bytes.size());
  taken_ += bytes.size();
  return bytes;
}

std::span<const std::uint8_t> AnnouncedBytes::whole(std::uint64_t size,
                                                    std::vector<std::uint8_t>& memory) {
  if (size == 0) return {};
  const auto first = next(size);
  if (first.size() == size) return first;
  memory.assign(first.begin(), first.end());
  while (memory.size() < size) {
    const auto bytes = next(size - memory.size());
    memory.insert(memory.end(), bytes.begin(), bytes.end());
  }
  return memory;
}

void AnnouncedBytes::expect_end() {
  if (piece_.empty()) piece_ = source_.take();
  // How many more would follow is not worth waiting for.
  if (!piece_.empty()) refuse("at least ", taken_ + piece_.size());
}

void AnnouncedBytes::refuse(const char* how_many, std::uint64_t came) const {
  throw StoreException(ErrorCode::kInvalidValue,
                       "model " + hex_id(model_id_) + ": " + std::to_string(announced_) +
                           " bytes of tensors were announced, and " + how_many +
                           std::to_string(came) +
                           " came; nothing was stored. Send each tensor's bytes once, in the order "
                           "of the layers");
}

}  // namespace parsl_tl
