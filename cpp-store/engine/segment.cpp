#include "segment.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "checksum.hpp"
#include "errors.hpp"

namespace parsl_tl {
namespace {

constexpr char kMagic[8] = {'P', 'T', 'L', 'S', 'E', 'G', '0', '1'};

struct SegmentHeader {
  char magic[8];
  std::uint64_t model_id;
  std::uint8_t reserved[48];
};
static_assert(sizeof(SegmentHeader) == kSegmentHeader);

std::string temporary_name(const std::string& folder) {
  static std::atomic<std::uint64_t> counter{0};
  return folder + "/tmp-" + std::to_string(::getpid()) + "-" + std::to_string(counter++);
}

iovec buffer(const void* data, std::size_t size) { return {const_cast<void*>(data), size}; }

}  // namespace

SegmentWriter::SegmentWriter(const std::string& folder, std::uint64_t model_id,
                             const std::vector<TensorView>& tensors, Record& record, bool sync)
    : path_(temporary_name(folder)), file_(path_, O_WRONLY | O_CREAT | O_EXCL) {
  static constexpr std::array<std::uint8_t, kSegmentAlignment> kZeros{};
  try {
    file_.try_lock();  // tells a clean-up that this file's writer is alive
    SegmentHeader header{};
    std::memcpy(header.magic, kMagic, sizeof kMagic);
    header.model_id = model_id;
    std::vector<iovec> buffers{buffer(&header, sizeof header)};
    std::uint64_t offset = kSegmentHeader;
    for (const TensorView& tensor : tensors) {
      const std::uint64_t size = tensor.bytes.size();
      record.layers.at(tensor.layer)
          .tensors.push_back(
              {tensor.dtype, tensor.shape, offset, size, checksum(tensor.bytes.data(), size)});
      buffers.push_back(buffer(tensor.bytes.data(), size));
      const std::uint64_t padding = (kSegmentAlignment - size % kSegmentAlignment) % kSegmentAlignment;
      buffers.push_back(buffer(kZeros.data(), padding));
      offset += size + padding;
    }
    file_.write_all(std::move(buffers));
    if (sync) file_.sync_data();
  } catch (...) {
    ::unlink(path_.c_str());
    throw;
  }
}

SegmentWriter::~SegmentWriter() {
  if (!published_) ::unlink(path_.c_str());
}

void SegmentWriter::publish(const std::string& path) {
  if (std::rename(path_.c_str(), path.c_str()) != 0) throw_errno(errno, "cannot publish", path);
  published_ = true;
  path_ = path;
}

void SegmentWriter::withdraw() noexcept {
  if (published_) ::unlink(path_.c_str());
}

Segment::Segment(const std::string& path, std::uint64_t model_id)
    : model_id_(model_id), path_(path), mapping_(File(path, O_RDONLY)) {
  SegmentHeader header{};
  if (mapping_.size() >= sizeof header) std::memcpy(&header, mapping_.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 || header.model_id != model_id) {
    throw StoreException(ErrorCode::kCorrupt,
                         "model " + hex_id(model_id) + ": " + path +
                             " is not its segment; restore the file from a copy or retire the model");
  }
}

StoreException Segment::damaged(const std::string& layer, const char* why) const {
  return {ErrorCode::kCorrupt, "model " + hex_id(model_id_) + ", layer " + layer + ": " + why +
                                   " in " + path_ +
                                   "; restore the file from a copy or retire the model"};
}

std::span<const std::uint8_t> Segment::bytes_of(const TensorRecord& tensor,
                                                const std::string& layer) const {
  if (tensor.offset + tensor.size > mapping_.size()) throw damaged(layer, "the tensor is cut off");
  return {mapping_.data() + tensor.offset, tensor.size};
}

void Segment::check(const TensorRecord& tensor, const std::string& layer) const {
  const auto bytes = bytes_of(tensor, layer);
  if (checksum(bytes.data(), bytes.size()) != tensor.checksum) {
    throw damaged(layer, "wrong checksum");
  }
}

std::span<const std::uint8_t> Segment::tensor(const TensorRecord& tensor,
                                              const std::string& layer) {
  {
    const std::lock_guard guard(mutex_);
    if (verified_.contains(tensor.offset)) return bytes_of(tensor, layer);
  }
  check(tensor, layer);
  const std::lock_guard guard(mutex_);
  verified_.insert(tensor.offset);
  return bytes_of(tensor, layer);
}

}  // namespace parsl_tl
