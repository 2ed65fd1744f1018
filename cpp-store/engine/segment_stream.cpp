// Writing a segment while its tensors come in pieces: every piece is summed and written before the
// next one is asked for, so that it is still in the cache, and no model is held in memory.
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "byte_source.hpp"
#include "checksum.hpp"
#include "segment.hpp"

namespace parsl_tl {
namespace {

/// The checksum of a tensor. Many are small and come in one piece: those need no stream.
class PieceSum {
 public:
  explicit PieceSum(std::uint64_t size) : size_(size) {}
  void update(std::span<const std::uint8_t> piece) {
    if (piece.size() == size_) {
      whole_ = checksum(piece.data(), piece.size());
      return;
    }
    if (!stream_) stream_.emplace();
    stream_->update(piece.data(), piece.size());
  }
  std::uint64_t digest() const { return stream_ ? stream_->digest() : whole_; }

 private:
  std::uint64_t size_;
  std::uint64_t whole_ = checksum(nullptr, 0);
  std::optional<ChecksumStream> stream_;
};

/// Space that ext4 sets aside before it is written, which makes writing faster by a third: ext4
/// then has no blocks left to count with every page. On tmpfs it takes time and gains nothing.
class Reservation {
 public:
  Reservation(File& file, std::uint64_t expected)
      : file_(file), expected_(expected >= kLeast && file.is_on_ext4() ? expected : 0) {}

  /// To be called before the bytes up to `end` are written.
  void cover(std::uint64_t end) {
    while (reserved_ < std::min(end, expected_)) {
      const std::uint64_t size = std::min(kWindow, expected_ - reserved_);
      file_.reserve(reserved_, size);
      reserved_ += size;
    }
  }

 private:
  static constexpr std::uint64_t kLeast = 4 << 20;  // less is not worth a system call
  // Not everything at once: what was announced may never come, and others need the space.
  static constexpr std::uint64_t kWindow = 64 << 20;

  File& file_;
  std::uint64_t expected_;
  std::uint64_t reserved_ = 0;
};

}  // namespace

SegmentWriter::SegmentWriter(const std::string& folder, std::uint64_t model_id,
                             std::vector<TensorInfo> tensors, ByteSource& source,
                             const SegmentOptions& options)
    : file_(create_temporary(folder, "segment")), path_(file_.path()) {
  try {
    begin();
    std::uint64_t announced = 0;
    for (const TensorInfo& tensor : tensors) announced += tensor.size;
    AnnouncedBytes bytes(source, model_id, announced);
    if (options.codec == Codec::kRaw) {
      receive_raw(std::move(tensors), bytes, options.checksums);
    } else {
      receive_compressed(std::move(tensors), bytes, options);
    }
    bytes.expect_end();
    finish(model_id, options.sync);
  } catch (...) {
    ::unlink(path_.c_str());
    throw;
  }
}

void SegmentWriter::receive_raw(std::vector<TensorInfo> tensors, AnnouncedBytes& bytes,
                                bool checksums) {
  Reservation reservation(file_, bytes.announced());
  for (TensorInfo& tensor : tensors) {
    tensor.offset = offset_;
    tensor.stored_size = tensor.size;
    tensor.checked = checksums;
    PieceSum sum(tensor.size);
    for (std::uint64_t left = tensor.size; left > 0;) {
      const auto piece = bytes.next(left);
      if (checksums) sum.update(piece);
      write(piece);
      left -= piece.size();
      if (!bytes.is_used_up()) continue;
      // The zeros behind a tensor are not the source's: they wait for the next piece.
      reservation.cover(offset_);
      flush();
    }
    if (checksums) tensor.checksum = sum.digest();
    pad();
  }
  directory_ = std::move(tensors);
}

void SegmentWriter::receive_compressed(std::vector<TensorInfo> tensors, AnnouncedBytes& bytes,
                                       const SegmentOptions& options) {
  std::vector<std::uint8_t> collected;
  std::vector<std::uint8_t> compressed;
  for (TensorInfo& tensor : tensors) {
    const auto whole = bytes.whole(tensor.size, collected);
    append_one_compressed(std::move(tensor), whole, compressed, options);
    flush();  // before either buffer is used again
  }
}

}  // namespace parsl_tl
