// Where the tensors go that a server sends: the caller's arrays, or memory of their own.
#pragma once

#include <memory>
#include <vector>

#include "transport.hpp"

namespace parsl_tl {

/// Memory that the caller has.
class GivenMemory final : public Download {
 public:
  explicit GivenMemory(Pieces memory) : memory_(std::move(memory)), size_(size_of(memory_)) {}
  std::uint64_t size() const override { return size_; }
  bool keep(std::uint64_t, const std::shared_ptr<arrow::Buffer>&) override { return false; }
  const Pieces& memory() override { return memory_; }

 private:
  Pieces memory_;
  std::uint64_t size_;
};

/// Tensors as they come: those that lie whole in what the transport received stay there.
class FreshTensors final : public Download {
 public:
  explicit FreshTensors(std::vector<std::uint64_t> sizes);

  std::uint64_t size() const override { return offsets_.back(); }
  bool keep(std::uint64_t offset, const std::shared_ptr<arrow::Buffer>& part) override;
  const Pieces& memory() override;

  std::span<const std::uint8_t> tensor(std::size_t i) const { return tensors_[i]; }

 private:
  std::vector<std::uint64_t> offsets_;  // in the stream, and its end
  std::vector<std::span<const std::uint8_t>> tensors_;
  std::vector<std::shared_ptr<arrow::Buffer>> kept_;
  std::shared_ptr<std::uint8_t[]> block_;  // for those that were not kept
  Pieces memory_;
};

}  // namespace parsl_tl
