#include "download.hpp"

#include <arrow/buffer.h>

#include <algorithm>

namespace parsl_tl {
namespace {

// What the largest numbers of any dtype need to be read in place.
constexpr std::uint64_t kAlignment = 16;
// Tensors in memory of their own begin where vector instructions read best.
constexpr std::uint64_t kBlockAlignment = 64;

std::uint64_t padded(std::uint64_t size) {
  return (size + kBlockAlignment - 1) / kBlockAlignment * kBlockAlignment;
}

}  // namespace

FreshTensors::FreshTensors(std::vector<std::uint64_t> sizes) : tensors_(sizes.size()) {
  offsets_.push_back(0);
  for (const std::uint64_t size : sizes) offsets_.push_back(offsets_.back() + size);
}

bool FreshTensors::keep(std::uint64_t offset, const std::shared_ptr<arrow::Buffer>& part) {
  const std::uint64_t end = offset + static_cast<std::uint64_t>(part->size());
  // Tensors whose stretch of the stream begins in the part.
  const auto first = std::lower_bound(offsets_.begin(), offsets_.end() - 1, offset);
  const auto last = std::lower_bound(first, offsets_.end() - 1, end);
  if (first == last || *first != offset || *last != end) return false;
  const auto place = [&](auto i) { return part->data() + (*i - offset); };
  for (auto i = first; i != last; ++i) {
    if (reinterpret_cast<std::uintptr_t>(place(i)) % kAlignment != 0 && i[1] > i[0]) return false;
  }
  for (auto i = first; i != last; ++i) {
    tensors_[static_cast<std::size_t>(i - offsets_.begin())] = {place(i), i[1] - i[0]};
  }
  kept_.push_back(part);
  return true;
}

const Pieces& FreshTensors::memory() {
  if (!memory_.empty() || tensors_.empty()) return memory_;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < tensors_.size(); ++i) bytes += padded(offsets_[i + 1] - offsets_[i]);
  // Not cleared: pages that nothing is written to cost nothing.
  block_ = std::shared_ptr<std::uint8_t[]>(
      static_cast<std::uint8_t*>(::operator new(bytes, std::align_val_t(kBlockAlignment))),
      [](std::uint8_t* block) { ::operator delete(block, std::align_val_t(kBlockAlignment)); });
  std::uint64_t at = 0;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const std::uint64_t size = offsets_[i + 1] - offsets_[i];
    memory_.emplace_back(block_.get() + at, size);
    if (tensors_[i].data() == nullptr) tensors_[i] = memory_.back();
    at += padded(size);
  }
  return memory_;
}

}  // namespace parsl_tl
