#include "log.hpp"

#include <arrow/buffer.h>
#include <arrow/ipc/api.h>
#include <arrow/result.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <vector>

#include "checksum.hpp"
#include "errors.hpp"
#include "record.hpp"

namespace parsl_tl {
namespace {

constexpr char kFileMagic[8] = {'P', 'T', 'L', 'L', 'O', 'G', '0', '2'};
constexpr char kFrameMagic[4] = {'P', 'T', 'L', 'R'};
// A record of a million layers stays far below this; a longer length is damage, not data.
constexpr std::uint32_t kMaxPayload = 1U << 30;

struct FrameHeader {
  char magic[4];
  std::uint32_t length;
  std::uint64_t checksum;
};
static_assert(sizeof(FrameHeader) == 16);

struct FileHeader {
  char magic[8];
  std::uint64_t generation;
};
static_assert(sizeof(FileHeader) == 16);

std::uint64_t random_generation() {
  std::random_device source;
  return (static_cast<std::uint64_t>(source()) << 32) | source();
}

std::uint64_t padded(std::uint64_t size) { return (size + 7) & ~std::uint64_t{7}; }

std::vector<std::uint8_t> make_frame(const arrow::Buffer& payload) {
  const auto length = static_cast<std::uint64_t>(payload.size());
  if (length > kMaxPayload) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "the metadata of the model takes " + std::to_string(length) +
                             " bytes, more than a record can hold; shorten its attributes");
  }
  FrameHeader header{};
  std::memcpy(header.magic, kFrameMagic, sizeof kFrameMagic);
  header.length = static_cast<std::uint32_t>(length);
  header.checksum = checksum(payload.data(), length);
  std::vector<std::uint8_t> frame(sizeof header + padded(length), 0);
  std::memcpy(frame.data(), &header, sizeof header);
  std::memcpy(frame.data() + sizeof header, payload.data(), length);
  return frame;
}

}  // namespace

void Log::create(const std::string& path) {
  auto schema = arrow::ipc::SerializeSchema(*record_schema());
  if (!schema.ok()) throw StoreException(ErrorCode::kIo, schema.status().ToString());
  const auto frame = make_frame(**schema);
  FileHeader header{};
  std::memcpy(header.magic, kFileMagic, sizeof kFileMagic);
  header.generation = random_generation();
  File file(path, O_WRONLY | O_CREAT | O_EXCL);
  file.write_at(0, &header, sizeof header);
  file.write_at(sizeof header, frame.data(), frame.size());
  file.sync_data();
}

Log::Log(const std::string& path, bool writable)
    : file_(path, writable ? O_RDWR : O_RDONLY), identity_(file_.identity()) {
  FileHeader header{};
  const std::size_t got = file_.read_at(0, &header, sizeof header);
  if (got != sizeof header || std::memcmp(header.magic, kFileMagic, sizeof kFileMagic) != 0) {
    throw StoreException(ErrorCode::kCorrupt,
                         path + " does not begin as a store's log; restore it from a copy");
  }
  generation_ = header.generation;
  stamp_ = {header.generation, sizeof header, 0, 0};
  if (next() == nullptr) {
    throw StoreException(ErrorCode::kCorrupt,
                         path + ": the schema frame is damaged; restore the file from a copy");
  }
}

std::optional<Log::Frame> Log::frame_at(std::uint64_t offset, std::uint64_t file_size) const {
  FrameHeader header{};
  if (offset > file_size || file_size - offset < sizeof header) return std::nullopt;
  if (file_.read_at(offset, &header, sizeof header) != sizeof header) return std::nullopt;
  if (std::memcmp(header.magic, kFrameMagic, sizeof kFrameMagic) != 0) return std::nullopt;
  const std::uint64_t begin = offset + sizeof header;
  const std::uint64_t end = begin + padded(header.length);
  if (header.length > kMaxPayload || end > file_size) return std::nullopt;
  auto allocated = arrow::AllocateBuffer(header.length);
  if (!allocated.ok()) throw StoreException(ErrorCode::kIo, allocated.status().ToString());
  std::shared_ptr<arrow::Buffer> payload = std::move(*allocated);
  if (file_.read_at(begin, payload->mutable_data(), header.length) != header.length ||
      checksum(payload->data(), header.length) != header.checksum) {
    return std::nullopt;
  }
  return Frame{std::move(payload), end, header.checksum};
}

bool Log::is_current(std::uint64_t position) const {
  struct stat info{};
  return ::stat(file_.path().c_str(), &info) == 0 &&
         File::Identity{info.st_dev, info.st_ino} == identity_ &&
         static_cast<std::uint64_t>(info.st_size) <= position;
}

bool Log::was_replaced() const { return File::identity_at(file_.path()) != identity_; }

bool Log::has(const LogStamp& stamp) const {
  if (stamp.generation != generation() || stamp.last_frame >= stamp.position) return false;
  FrameHeader header{};
  return stamp.position <= file_.size() &&
         file_.read_at(stamp.last_frame, &header, sizeof header) == sizeof header &&
         std::memcmp(header.magic, kFrameMagic, sizeof kFrameMagic) == 0 &&
         stamp.last_frame + sizeof header + padded(header.length) == stamp.position &&
         header.checksum == stamp.last_checksum;
}

std::shared_ptr<arrow::Buffer> Log::next() {
  auto frame = frame_at(position(), file_.size());
  if (!frame) return nullptr;
  stamp_ = {generation(), frame->end, position(), frame->checksum};
  return std::move(frame->payload);
}

std::uint64_t Log::frame_bytes(std::uint64_t offset) const {
  FrameHeader header{};
  if (file_.read_at(offset, &header, sizeof header) != sizeof header) return 0;
  return sizeof header + padded(header.length);
}

std::shared_ptr<arrow::Buffer> Log::read_frame(std::uint64_t offset) const {
  auto frame = frame_at(offset, file_.size());
  if (!frame) {
    throw StoreException(ErrorCode::kCorrupt, file_.path() + ": the record at byte " +
                                                  std::to_string(offset) + " is damaged");
  }
  return std::move(frame->payload);
}

std::string LogDamage::text(const std::string& log) const {
  return log + ": the record at byte " + std::to_string(position) + " is damaged, and " +
         std::to_string(frames_behind) + " whole " +
         (frames_behind == 1 ? "record follows" : "records follow") + " it";
}

std::uint64_t Log::count_frames(std::uint64_t from, std::uint64_t file_size) const {
  // Frames begin at multiples of 8; what begins like one is looked at, piece by piece.
  constexpr std::size_t kPiece = 1 << 20;
  std::vector<char> piece(kPiece);
  std::uint64_t count = 0;
  std::uint64_t offset = padded(from);
  while (offset < file_size) {
    const std::size_t got = file_.read_at(offset, piece.data(), kPiece);
    std::uint64_t next = offset + kPiece;
    for (std::size_t i = 0; i + sizeof kFrameMagic <= got; i += 8) {
      if (std::memcmp(piece.data() + i, kFrameMagic, sizeof kFrameMagic) != 0) continue;
      const auto frame = frame_at(offset + i, file_size);
      if (!frame) continue;
      ++count;
      next = frame->end;
      break;
    }
    offset = next;
  }
  return count;
}

bool Log::is_zero(std::uint64_t begin, std::uint64_t end) const {
  std::vector<char> bytes(4096);
  while (begin < end) {
    const std::size_t got =
        file_.read_at(begin, bytes.data(), std::min<std::uint64_t>(bytes.size(), end - begin));
    if (got == 0 || std::any_of(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(got),
                                [](char byte) { return byte != 0; })) {
      return false;
    }
    begin += got;
  }
  return true;
}

bool Log::is_torn(std::uint64_t offset, std::uint64_t file_size) const {
  // A power cut may leave the file as long as it was to be, and zeros where blocks were to come.
  // Records end with some zeros themselves, but with fewer.
  constexpr std::uint64_t kBlock = 512;
  const std::uint64_t last_block = (file_size - std::min(file_size, kBlock / 2)) / kBlock * kBlock;
  if (is_zero(std::max(offset, last_block), file_size)) return true;
  FrameHeader header{};
  const std::size_t got = file_.read_at(offset, &header, sizeof header);
  if (std::memcmp(header.magic, kFrameMagic, std::min(got, sizeof kFrameMagic)) != 0) return false;
  if (got < sizeof header) return true;
  const std::uint64_t begin = offset + sizeof header;
  if (header.length > kMaxPayload || begin + padded(header.length) <= file_size) return false;
  // Longer than the file: unless it is the length that is damaged, and the rest is whole.
  std::vector<std::uint8_t> rest(file_size - begin);
  if (file_.read_at(begin, rest.data(), rest.size()) != rest.size()) return false;
  for (std::size_t padding = 0; padding < 8 && padding <= rest.size(); ++padding) {
    const std::size_t length = rest.size() - padding;
    if (length != header.length && checksum(rest.data(), length) == header.checksum) return false;
  }
  return true;
}

std::optional<LogDamage> Log::damage_at(std::uint64_t position) const {
  const std::uint64_t end = file_.size();
  if (end <= position || frame_at(position, end)) return std::nullopt;
  const LogDamage damage{position, count_frames(position + 1, end)};
  if (damage.frames_behind == 0 && is_torn(position, end)) return std::nullopt;
  return damage;
}

std::optional<LogDamage> Log::check(std::uint64_t end) const {
  for (std::uint64_t offset = sizeof(FileHeader); offset < end;) {
    const auto frame = frame_at(offset, end);
    if (!frame) return LogDamage{offset, count_frames(offset + 1, file_.size())};
    offset = frame->end;
  }
  return std::nullopt;
}

Log::Trace Log::trace() const {
  struct stat info{};
  if (::fstat(file_.fd(), &info) != 0) throw_errno(errno, "cannot stat", file_.path());
  return {static_cast<std::uint64_t>(info.st_size),
          std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec};
}

std::uint64_t Log::cut_torn_tail() {
  const std::uint64_t end = file_.size();
  if (end <= position()) return 0;
  if (const auto found = damage_at(position())) {
    throw StoreException(ErrorCode::kCorrupt, found->text(file_.path()) +
                                                  "; restore the file from a copy. Nothing was "
                                                  "changed");
  }
  file_.truncate(position());
  return end - position();
}

void Log::append(const arrow::Buffer& payload, bool sync) {
  const auto frame = make_frame(payload);
  try {
    file_.write_at(position(), frame.data(), frame.size());
    if (sync) file_.sync_data();
  } catch (...) {
    file_.truncate(position());  // a half-written frame would be a torn tail for the next writer
    throw;
  }
  FrameHeader header{};
  std::memcpy(&header, frame.data(), sizeof header);
  stamp_ = {generation(), position() + frame.size(), position(), header.checksum};
}

std::uint64_t Log::whole_frames(std::span<const std::uint8_t> bytes) {
  std::uint64_t end = 0;
  while (bytes.size() - end >= sizeof(FrameHeader)) {
    FrameHeader header{};
    std::memcpy(&header, bytes.data() + end, sizeof header);
    const bool is_frame = std::memcmp(header.magic, kFrameMagic, sizeof kFrameMagic) == 0 &&
                          header.length <= kMaxPayload;
    const std::uint64_t size = sizeof header + padded(header.length);
    if (is_frame && size > bytes.size() - end) break;
    if (!is_frame ||
        checksum(bytes.data() + end + sizeof header, header.length) != header.checksum) {
      if (end > 0) return end;  // what is before it is as good as ever
      throw StoreException(ErrorCode::kCorrupt, "a record of the log that came over is damaged");
    }
    end += size;
  }
  return end;
}

std::uint64_t Log::schema_end(std::span<const std::uint8_t> bytes) {
  FrameHeader header{};
  const std::size_t begin = sizeof(FileHeader) + sizeof header;
  if (bytes.size() < begin || std::memcmp(bytes.data(), kFileMagic, sizeof kFileMagic) != 0) {
    throw StoreException(ErrorCode::kCorrupt, "what came over does not begin as a store's log");
  }
  std::memcpy(&header, bytes.data() + sizeof(FileHeader), sizeof header);
  const std::uint64_t end = begin + padded(header.length);
  if (end > bytes.size() ||
      whole_frames(bytes.subspan(sizeof(FileHeader), end - sizeof(FileHeader))) !=
          end - sizeof(FileHeader)) {
    throw StoreException(ErrorCode::kCorrupt, "the schema of the log that came over is damaged");
  }
  return end;
}

void Log::append_frames(std::span<const std::uint8_t> frames, bool sync) {
  try {
    file_.write_at(position(), frames.data(), frames.size());
    if (sync) file_.sync_data();
  } catch (...) {
    file_.truncate(position());
    throw;
  }
}

void Log::cut(const LogStamp& stamp) {
  file_.truncate(stamp.position);
  seek(stamp);
}

}  // namespace parsl_tl
