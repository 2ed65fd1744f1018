// Tensor segments: the immutable file that holds what one model trained.
//
//   segment   := header | tensors, each at the next multiple of 64 bytes | directory
//   header    := "PTLSEG03" | model id | directory offset | directory size | XXH3-64 of the
//                directory (u64 each) | 24 zero bytes
//   directory := entry*, one for each tensor, in the tensors' order, layer by layer:
//                layer key | checksum | stored size (u64 each)
//                | codec (u8: 0 raw, 1 LZ4, 2 Zstandard) | checked (u8) | rank (u8)
//                | length of the dtype name (u8) | size in memory (u64), unless raw
//                | shape (u32 each) | dtype name (numpy's: float32, bfloat16), padded to 4
//
// All integers are little-endian. A raw tensor lies in the file as it does in memory, so that
// reading is mapping. The checksum is that of the stored bytes. Entries are small, since a layer
// may be, too: a dense layer of 16 units takes 84 bytes here. A segment is written under a
// temporary name and published by rename; compaction replaces it in the same way.
#pragma once

#include <fcntl.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "errors.hpp"
#include "file.hpp"

namespace parsl_tl {

constexpr std::uint64_t kSegmentAlignment = 64;

enum class Codec : std::uint8_t { kRaw = 0, kLz4 = 1, kZstd = 2 };
std::string name_of(Codec codec);  // "none", "lz4", "zstd"
std::optional<Codec> codec_named(const std::string& name);

/// A tensor as the directory describes it.
struct TensorInfo {
  std::uint64_t key = 0;  // of its layer
  std::uint64_t offset = 0;
  std::uint64_t stored_size = 0;  // bytes in the file
  std::uint64_t size = 0;         // bytes in memory
  std::uint64_t checksum = 0;
  Codec codec = Codec::kRaw;
  bool checked = false;  // false: written without a checksum
  std::string dtype;
  std::vector<std::int64_t> shape;
};

/// Reads a directory. Throws StoreException(kCorrupt) for anything that is not one, or that names
/// bytes outside [header, end of the tensors).
std::vector<TensorInfo> parse_directory(std::span<const std::uint8_t> bytes,
                                        std::uint64_t tensors_end);

/// The checksum of a segment's directory, which holds those of the tensors; 0 for what is none.
std::uint64_t segment_digest(const File& file);

/// Whether this number of elements, of whatever type, can take this number of bytes: no directory
/// says otherwise.
bool shape_fits(const std::vector<std::int64_t>& shape, std::uint64_t size);

/// The caller's memory of one tensor, to be written.
struct TensorView {
  std::uint64_t key = 0;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::span<const std::uint8_t> bytes;
};

struct SegmentOptions {
  Codec codec = Codec::kRaw;
  bool checksums = true;
  bool sync = false;
};

class AnnouncedBytes;
class ByteSource;
class Segment;

/// A segment under its temporary name; removed again unless it was published.
class SegmentWriter {
 public:
  /// Writes all tensors; those of a layer must stand together.
  SegmentWriter(const std::string& folder, std::uint64_t model_id,
                const std::vector<TensorView>& tensors, const SegmentOptions& options);
  /// Writes tensors that come from a source, one after another without anything between them. Of
  /// the tensors, key, size, dtype and shape are given. Throws kInvalidValue if the source gives
  /// fewer or more bytes, and what the source throws.
  SegmentWriter(const std::string& folder, std::uint64_t model_id, std::vector<TensorInfo> tensors,
                ByteSource& source, const SegmentOptions& options);
  /// Writes what `source` holds of the given layers, as it is stored there.
  SegmentWriter(const std::string& folder, const Segment& source,
                const std::unordered_set<std::uint64_t>& keys, bool sync);
  ~SegmentWriter();
  SegmentWriter(const SegmentWriter&) = delete;
  SegmentWriter& operator=(const SegmentWriter&) = delete;

  std::uint64_t file_bytes() const noexcept { return file_bytes_; }
  /// Gives the segment its final name. With the store's exclusive lock held.
  void publish(const std::string& path);
  /// Takes the published segment away again (the log could not be written).
  void withdraw() noexcept;

 private:
  void begin();
  void append(TensorInfo info, std::span<const std::uint8_t> bytes);
  void append_raw(const std::vector<TensorView>& tensors, bool checksums);
  void append_compressed(const std::vector<TensorView>& tensors, const SegmentOptions& options);
  /// True if the tensor's bytes wait in `compressed` to be written.
  bool append_one_compressed(TensorInfo info, std::span<const std::uint8_t> bytes,
                             std::vector<std::uint8_t>& compressed, const SegmentOptions& options);
  void receive_raw(std::vector<TensorInfo> tensors, AnnouncedBytes& bytes, bool checksums);
  void receive_compressed(std::vector<TensorInfo> tensors, AnnouncedBytes& bytes,
                          const SegmentOptions& options);
  void write(std::span<const std::uint8_t> bytes);
  void pad();
  void flush();
  void finish(std::uint64_t model_id, bool sync);

  File file_;
  std::string path_;
  std::vector<TensorInfo> directory_;
  std::vector<iovec> pending_;  // views on others' memory, written in large pieces
  std::uint64_t pending_bytes_ = 0;
  std::uint64_t offset_ = 0;
  std::uint64_t file_bytes_ = 0;
  bool published_ = false;
};

/// A mapped segment. Tensors are verified on first access. Thread-safe.
class Segment {
 public:
  /// Throws kNotFound if the file is gone, kCorrupt if it is not this model's segment.
  Segment(const std::string& path, std::uint64_t model_id, bool verify)
      : Segment(File(path, O_RDONLY), model_id, verify) {}

  std::uint64_t model_id() const noexcept { return model_id_; }
  const std::vector<TensorInfo>& directory() const noexcept { return directory_; }
  std::uint64_t file_bytes() const noexcept { return mapping_.size(); }
  /// Whether another file lies where this one was opened: a store that went back to a copy of it
  /// may use ids anew.
  bool was_replaced() const {
    const auto there = File::identity_at(path_);
    return there && *there != identity_;
  }

  struct Range {
    std::uint32_t first = 0;
    std::uint32_t count = 0;
  };
  /// Where in the directory a layer's tensors are; nothing if it has none here.
  std::optional<Range> find(std::uint64_t key) const;
  /// The same of a layer that has some. Throws kNotFound, naming the layer, if they are not here.
  Range range_of(std::uint64_t key, const std::string& layer) const;
  std::span<const TensorInfo> tensors(Range range) const {
    return std::span(directory_).subspan(range.first, range.count);
  }

  /// The tensor's bytes: in the mapping, or uncompressed once for all readers. Throws kCorrupt,
  /// naming model and layer, if they fail the checksum.
  std::span<const std::uint8_t> tensor(std::uint32_t index, const std::string& layer);

  /// Copies the tensor's bytes, and verifies them on the way where that is due. Throws as `tensor`
  /// does; `out`, of the tensor's size, then holds nothing of use.
  void copy(std::uint32_t index, const std::string& layer, std::span<std::uint8_t> out);

  /// Whether a first access has still to compute the tensor's checksum.
  bool is_unverified(std::uint32_t index) const noexcept {
    return verify_ && !verified_[index].load(std::memory_order_acquire);
  }

  /// As stored, not verified.
  std::span<const std::uint8_t> stored(std::uint32_t index) const;

  /// Computes the checksum again, whether or not it was verified before. Throws kCorrupt.
  void check(std::uint32_t index, const std::string& layer) const;

 private:
  Segment(const File& file, std::uint64_t model_id, bool verify);
  StoreException damaged(const std::string& layer, const char* why) const;
  std::span<const std::uint8_t> uncompressed(std::uint32_t index, const std::string& layer);

  std::uint64_t model_id_;
  bool verify_;
  std::string path_;
  File::Identity identity_;
  Mapping mapping_;
  std::vector<TensorInfo> directory_;
  std::vector<std::pair<std::uint64_t, Range>> layers_;  // sorted by key
  std::unique_ptr<std::atomic<bool>[]> verified_;
  std::mutex mutex_;  // guards the next
  std::vector<std::vector<std::uint8_t>> uncompressed_;
};

}  // namespace parsl_tl
