#include "segment.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <thread>

#include "checksum.hpp"
#include "compression.hpp"
#include "parallel.hpp"

namespace parsl_tl {
namespace {

constexpr char kMagic[8] = {'P', 'T', 'L', 'S', 'E', 'G', '0', '3'};

struct Header {
  char magic[8];
  std::uint64_t model_id;
  std::uint64_t directory_offset;
  std::uint64_t directory_size;
  std::uint64_t directory_checksum;
  std::uint8_t reserved[24];
};
static_assert(sizeof(Header) == kSegmentAlignment);

/// How an entry begins; what follows depends on it.
struct Entry {
  std::uint64_t key;
  std::uint64_t checksum;
  std::uint64_t stored_size;
  std::uint8_t codec;
  std::uint8_t checked;
  std::uint8_t rank;
  std::uint8_t dtype_length;
};
constexpr std::size_t kEntryBytes = 28;  // without what pads it in memory
constexpr std::size_t kEntryAlignment = 4;

// Large enough for few system calls and for the file system to take whole runs of pages.
constexpr std::uint64_t kWritePiece = 64 << 20;
// Small enough that a piece that was just summed is still in the cache when it is copied.
constexpr std::size_t kCachePiece = 128 << 10;
// From here on a second thread computes checksums while this one writes.
constexpr std::uint64_t kBytesWorthSumming = 4 << 20;

std::uint64_t padded(std::uint64_t size, std::uint64_t to) { return (size + to - 1) / to * to; }

std::vector<std::uint8_t> format_directory(const std::vector<TensorInfo>& tensors) {
  std::vector<std::uint8_t> bytes;
  const auto append = [&bytes](const void* data, std::size_t size) {
    const auto* begin = static_cast<const std::uint8_t*>(data);
    bytes.insert(bytes.end(), begin, begin + size);
  };
  for (const TensorInfo& tensor : tensors) {
    const Entry entry{tensor.key,
                      tensor.checksum,
                      tensor.stored_size,
                      static_cast<std::uint8_t>(tensor.codec),
                      tensor.checked,
                      static_cast<std::uint8_t>(tensor.shape.size()),
                      static_cast<std::uint8_t>(tensor.dtype.size())};
    append(&entry, kEntryBytes);
    if (tensor.codec != Codec::kRaw) append(&tensor.size, sizeof tensor.size);
    for (const std::int64_t dimension : tensor.shape) {
      const auto narrow = static_cast<std::uint32_t>(dimension);
      append(&narrow, sizeof narrow);
    }
    append(tensor.dtype.data(), tensor.dtype.size());
    bytes.resize(padded(bytes.size(), kEntryAlignment), 0);
  }
  return bytes;
}

[[noreturn]] void refuse(const char* why) {
  throw StoreException(ErrorCode::kCorrupt, std::string("segment directory: ") + why);
}

}  // namespace

bool shape_fits(const std::vector<std::int64_t>& shape, std::uint64_t size) {
  std::uint64_t elements = 1;
  for (const std::int64_t dimension : shape) {
    if (__builtin_mul_overflow(elements, static_cast<std::uint64_t>(dimension), &elements)) {
      return false;
    }
  }
  return elements == 0 ? size == 0 : size % elements == 0;
}

std::vector<TensorInfo> parse_directory(std::span<const std::uint8_t> bytes,
                                        std::uint64_t tensors_end) {
  std::vector<TensorInfo> tensors;
  std::uint64_t offset = sizeof(Header);
  std::size_t at = 0;
  const auto take = [&](void* out, std::size_t size) {
    if (bytes.size() - at < size) refuse("an entry is cut off");
    if (size > 0) std::memcpy(out, bytes.data() + at, size);
    at += size;
  };
  while (at < bytes.size()) {
    Entry entry{};
    take(&entry, kEntryBytes);
    if (entry.codec > static_cast<std::uint8_t>(Codec::kZstd) || entry.checked > 1) {
      refuse("an entry of a newer format");
    }
    if (offset > tensors_end || entry.stored_size > tensors_end - offset) {
      refuse("a tensor lies outside the file");
    }
    TensorInfo tensor{entry.key,
                      offset,
                      entry.stored_size,
                      entry.stored_size,
                      entry.checksum,
                      static_cast<Codec>(entry.codec),
                      entry.checked != 0,
                      {},
                      {}};
    if (tensor.codec != Codec::kRaw) take(&tensor.size, sizeof tensor.size);
    std::vector<std::uint32_t> shape(entry.rank);
    take(shape.data(), shape.size() * sizeof(std::uint32_t));
    tensor.shape.assign(shape.begin(), shape.end());
    if (!shape_fits(tensor.shape, tensor.size)) refuse("a shape that does not fit its bytes");
    tensor.dtype.resize(entry.dtype_length);
    take(tensor.dtype.data(), tensor.dtype.size());
    std::array<char, kEntryAlignment> padding{};
    take(padding.data(), padded(at, kEntryAlignment) - at);
    if (std::any_of(padding.begin(), padding.end(), std::identity())) {
      refuse("an entry of a newer format");
    }
    offset = padded(offset + entry.stored_size, kSegmentAlignment);
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

SegmentWriter::SegmentWriter(const std::string& folder, std::uint64_t model_id,
                             const std::vector<TensorView>& tensors, const SegmentOptions& options)
    : file_(create_temporary(folder, "segment")), path_(file_.path()) {
  try {
    begin();
    if (options.codec == Codec::kRaw) {
      append_raw(tensors, options.checksums);
    } else {
      append_compressed(tensors, options);
    }
    finish(model_id, options.sync);
  } catch (...) {
    ::unlink(path_.c_str());
    throw;
  }
}

SegmentWriter::SegmentWriter(const std::string& folder, const Segment& source,
                             const std::unordered_set<std::uint64_t>& keys, bool sync)
    : file_(create_temporary(folder, "segment")), path_(file_.path()) {
  try {
    begin();
    for (std::uint32_t i = 0; i < source.directory().size(); ++i) {
      const TensorInfo& info = source.directory()[i];
      if (keys.contains(info.key)) append(info, source.stored(i));
    }
    finish(source.model_id(), sync);
  } catch (...) {
    ::unlink(path_.c_str());
    throw;
  }
}

void SegmentWriter::append_raw(const std::vector<TensorView>& tensors, bool checksums) {
  std::vector<std::uint64_t> sums(tensors.size());
  std::uint64_t bytes = 0;
  for (const TensorView& view : tensors) bytes += view.bytes.size();
  {
    const auto compute = [&] {
      for (std::size_t i = 0; i < tensors.size(); ++i) {
        sums[i] = checksum(tensors[i].bytes.data(), tensors[i].bytes.size());
      }
    };
    std::jthread helper;
    if (checksums && bytes >= kBytesWorthSumming && usable_cores() > 1) {
      helper = std::jthread(compute);
    } else if (checksums) {
      compute();
    }
    for (const TensorView& view : tensors) {
      append({view.key, 0, 0, view.bytes.size(), 0, Codec::kRaw, checksums, view.dtype, view.shape},
             view.bytes);
    }
    flush();
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) directory_[i].checksum = sums[i];
}

void SegmentWriter::append_compressed(const std::vector<TensorView>& tensors,
                                      const SegmentOptions& options) {
  std::vector<std::uint8_t> compressed;
  for (const TensorView& view : tensors) {
    TensorInfo info{view.key,    0,     0,          view.bytes.size(), 0,
                    Codec::kRaw, false, view.dtype, view.shape};
    if (append_one_compressed(std::move(info), view.bytes, compressed, options)) {
      flush();  // before the buffer is used again
    }
  }
}

bool SegmentWriter::append_one_compressed(TensorInfo info, std::span<const std::uint8_t> bytes,
                                          std::vector<std::uint8_t>& compressed,
                                          const SegmentOptions& options) {
  const bool is_smaller = compress(options.codec, bytes, compressed);
  if (is_smaller) {
    info.codec = options.codec;
    bytes = compressed;
  }
  info.checked = options.checksums;
  if (options.checksums) info.checksum = checksum(bytes.data(), bytes.size());
  append(std::move(info), bytes);
  return is_smaller;
}

SegmentWriter::~SegmentWriter() {
  if (!published_) ::unlink(path_.c_str());
}

void SegmentWriter::begin() {
  static constexpr std::array<std::uint8_t, sizeof(Header)> kBlank{};
  write(kBlank);  // the header follows when the directory's place is known
}

void SegmentWriter::write(std::span<const std::uint8_t> bytes) {
  if (bytes.empty()) return;
  pending_.push_back({const_cast<std::uint8_t*>(bytes.data()), bytes.size()});
  pending_bytes_ += bytes.size();
  offset_ += bytes.size();
  if (pending_bytes_ >= kWritePiece || pending_.size() >= 512) flush();
}

void SegmentWriter::flush() {
  file_.write_all(pending_);
  pending_.clear();
  pending_bytes_ = 0;
}

void SegmentWriter::append(TensorInfo info, std::span<const std::uint8_t> bytes) {
  info.offset = offset_;
  info.stored_size = bytes.size();
  write(bytes);
  pad();
  directory_.push_back(std::move(info));
}

void SegmentWriter::pad() {
  static constexpr std::array<std::uint8_t, kSegmentAlignment> kZeros{};
  write(std::span(kZeros).first(padded(offset_, kSegmentAlignment) - offset_));
}

void SegmentWriter::finish(std::uint64_t model_id, bool sync) {
  const auto directory = format_directory(directory_);
  Header header{
      {}, model_id, offset_, directory.size(), checksum(directory.data(), directory.size()), {}};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  write(directory);
  flush();
  file_.write_at(0, &header, sizeof header);
  if (sync) file_.sync_data();
  file_bytes_ = offset_;
}

void SegmentWriter::publish(const std::string& path) {
  if (std::rename(path_.c_str(), path.c_str()) != 0) throw_errno(errno, "cannot publish", path);
  published_ = true;
  path_ = path;
}

void SegmentWriter::withdraw() noexcept {
  if (published_) ::unlink(path_.c_str());
}

Segment::Segment(const File& file, std::uint64_t model_id, bool verify)
    : model_id_(model_id),
      verify_(verify),
      path_(file.path()),
      identity_(file.identity()),
      mapping_(file) {
  const auto refuse_segment = [&](const std::string& why) {
    throw StoreException(ErrorCode::kCorrupt,
                         "model " + hex_id(model_id) + ": " + path_ + " " + why +
                             "; restore the file from a copy or retire the model");
  };
  Header header{};
  if (mapping_.size() >= sizeof header) std::memcpy(&header, mapping_.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 || header.model_id != model_id) {
    refuse_segment("is not its segment");
  }
  const std::span reserved(header.reserved);
  if (std::any_of(reserved.begin(), reserved.end(), std::identity())) {
    refuse_segment("is of a newer format");
  }
  if (header.directory_offset > mapping_.size() ||
      header.directory_size != mapping_.size() - header.directory_offset) {
    refuse_segment("is cut off");
  }
  const std::span directory(mapping_.data() + header.directory_offset, header.directory_size);
  if (checksum(directory.data(), directory.size()) != header.directory_checksum) {
    refuse_segment("has a damaged directory");
  }
  directory_ = parse_directory(directory, header.directory_offset);
  verified_ = std::make_unique<std::atomic<bool>[]>(directory_.size());
  for (std::uint32_t i = 0; i < directory_.size(); ++i) {
    if (layers_.empty() || layers_.back().first != directory_[i].key) {
      layers_.push_back({directory_[i].key, {i, 0}});
    }
    ++layers_.back().second.count;
  }
  std::sort(layers_.begin(), layers_.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  const auto same_key = [](const auto& a, const auto& b) { return a.first == b.first; };
  if (std::adjacent_find(layers_.begin(), layers_.end(), same_key) != layers_.end()) {
    refuse_segment("has a layer in two places");
  }
}

std::optional<Segment::Range> Segment::find(std::uint64_t key) const {
  const auto found = std::lower_bound(layers_.begin(), layers_.end(), key,
                                      [](const auto& layer, auto k) { return layer.first < k; });
  if (found == layers_.end() || found->first != key) return std::nullopt;
  return found->second;
}

Segment::Range Segment::range_of(std::uint64_t key, const std::string& layer) const {
  if (const auto range = find(key)) return *range;
  throw StoreException(ErrorCode::kNotFound,
                       "layer " + layer + " is not in the segment of " + hex_id(model_id_));
}

StoreException Segment::damaged(const std::string& layer, const char* why) const {
  return {ErrorCode::kCorrupt, "model " + hex_id(model_id_) + ", layer " + layer + ": " + why +
                                   " in " + path_ +
                                   "; restore the file from a copy or retire the model"};
}

std::span<const std::uint8_t> Segment::stored(std::uint32_t index) const {
  const TensorInfo& tensor = directory_[index];
  return {mapping_.data() + tensor.offset, tensor.stored_size};
}

void Segment::check(std::uint32_t index, const std::string& layer) const {
  const TensorInfo& tensor = directory_[index];
  if (!tensor.checked) return;
  const auto bytes = stored(index);
  if (checksum(bytes.data(), bytes.size()) != tensor.checksum) {
    throw damaged(layer, "wrong checksum");
  }
}

std::span<const std::uint8_t> Segment::tensor(std::uint32_t index, const std::string& layer) {
  if (is_unverified(index)) {
    check(index, layer);
    verified_[index].store(true, std::memory_order_release);
  }
  return directory_[index].codec == Codec::kRaw ? stored(index) : uncompressed(index, layer);
}

void Segment::copy(std::uint32_t index, const std::string& layer, std::span<std::uint8_t> out) {
  const TensorInfo& info = directory_[index];
  if (info.codec != Codec::kRaw || !info.checked || !is_unverified(index)) {
    const auto bytes = tensor(index, layer);
    std::copy(bytes.begin(), bytes.end(), out.begin());
    return;
  }
  // Summed and copied piece by piece, so that the bytes come from memory once.
  const auto bytes = stored(index);
  ChecksumStream sum;
  for (std::size_t done = 0; done < bytes.size(); done += kCachePiece) {
    const auto piece = bytes.subspan(done, std::min(kCachePiece, bytes.size() - done));
    sum.update(piece.data(), piece.size());
    std::copy(piece.begin(), piece.end(), out.begin() + static_cast<std::ptrdiff_t>(done));
  }
  if (sum.digest() != info.checksum) throw damaged(layer, "wrong checksum");
  verified_[index].store(true, std::memory_order_release);
}

std::span<const std::uint8_t> Segment::uncompressed(std::uint32_t index, const std::string& layer) {
  const std::lock_guard guard(mutex_);
  if (uncompressed_.empty()) uncompressed_.resize(directory_.size());
  const TensorInfo& tensor = directory_[index];
  auto& bytes = uncompressed_[index];
  if (bytes.size() != tensor.size && !decompress(tensor.codec, stored(index), tensor.size, bytes)) {
    throw damaged(layer, "compressed bytes that do not fit their size");
  }
  return bytes;
}

}  // namespace parsl_tl
