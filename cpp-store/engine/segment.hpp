// Tensor segments: the immutable file that holds what one model trained.
//
//   segment := "PTLSEG01" | model id (u64) | 48 zero bytes | tensors, each aligned to 64 bytes
//
// Where each tensor lies, and its checksum, stands in the log; the segment itself is raw data, so
// that reading is mapping. A segment is written under a temporary name and published by rename.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "errors.hpp"
#include "file.hpp"
#include "record.hpp"

namespace parsl_tl {

constexpr std::uint64_t kSegmentAlignment = 64;
constexpr std::uint64_t kSegmentHeader = 64;

/// The caller's memory of one tensor, to be written.
struct TensorView {
  std::uint32_t layer = 0;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::span<const std::uint8_t> bytes;
};

/// A segment under its temporary name; removed again unless it was published.
class SegmentWriter {
 public:
  /// Writes all tensors and fills the records of their layers (offset, size, checksum).
  SegmentWriter(const std::string& folder, std::uint64_t model_id,
                const std::vector<TensorView>& tensors, Record& record, bool sync);
  ~SegmentWriter();
  SegmentWriter(const SegmentWriter&) = delete;
  SegmentWriter& operator=(const SegmentWriter&) = delete;

  /// Gives the segment its final name. With the store's exclusive lock held.
  void publish(const std::string& path);
  /// Takes the published segment away again (the log could not be written).
  void withdraw() noexcept;

 private:
  std::string path_;
  File file_;
  bool published_ = false;
};

/// A mapped segment. Tensors are verified on first access. Thread-safe.
class Segment {
 public:
  /// Throws kNotFound if the file is gone, kCorrupt if it is not this model's segment.
  Segment(const std::string& path, std::uint64_t model_id);

  /// The tensor's bytes. Throws kCorrupt, naming model and layer, if they fail the checksum.
  std::span<const std::uint8_t> tensor(const TensorRecord& tensor, const std::string& layer);

  /// Computes the checksum again, whether or not it was verified before. Throws kCorrupt.
  void check(const TensorRecord& tensor, const std::string& layer) const;

 private:
  std::span<const std::uint8_t> bytes_of(const TensorRecord& tensor, const std::string& layer) const;
  StoreException damaged(const std::string& layer, const char* why) const;

  std::uint64_t model_id_;
  std::string path_;
  Mapping mapping_;
  std::mutex mutex_;
  std::unordered_set<std::uint64_t> verified_;  // offsets
};

}  // namespace parsl_tl
