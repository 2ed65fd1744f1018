// The append-only log: every acknowledged put and retirement, one checksummed frame each.
//
//   file   := "PTLLOG02" | generation (u64) | frame*
//   frame  := "PTLR" | payload length (u32, little-endian) | XXH3-64 of the payload (u64)
//             | payload | zero padding to a multiple of 8
//
// The first frame holds the Arrow schema, every later one a record batch message (see record.hpp).
// The generation is drawn anew whenever the log is written anew: byte offsets, such as those in a
// snapshot, are those of one generation.
// Writers hold the store's exclusive lock; readers need none, since a frame that is not yet whole
// fails its checksum and is read again at the next look.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "file.hpp"

namespace parsl_tl {

/// A place in a log between two frames, and the frame that ends there: another log, or one that was
/// put back from a copy and went on differently, does not have it.
struct LogStamp {
  std::uint64_t generation = 0;
  std::uint64_t position = 0;
  std::uint64_t last_frame = 0;  // where it begins
  std::uint64_t last_checksum = 0;
  bool operator==(const LogStamp&) const = default;
};

/// What whoever copies a log has to know of it.
struct LogState {
  std::uint64_t generation = 0;
  std::uint64_t position = 0;    // where it ends
  std::uint64_t models_put = 0;  // so many models were stored, as far as it tells
  bool is_known = false;         // whether the stamp that was asked for is a place in it
};

/// What is wrong where a frame should be.
struct LogDamage {
  std::uint64_t position = 0;       // of the frame that is damaged
  std::uint64_t frames_behind = 0;  // whole ones
  std::string text(const std::string& log) const;
};

class Log {
 public:
  /// Creates the file with its header and schema frame; fails if it exists.
  static void create(const std::string& path);

  /// Opens an existing log. Throws kFormat when it does not begin as one.
  Log(const std::string& path, bool writable);

  /// The payload of the next whole frame, or nothing at the end (or at a frame that is not whole).
  std::shared_ptr<arrow::Buffer> next();

  /// True when there is nothing behind `position`, and no other log has taken this one's place
  /// (compaction). Costs one stat.
  bool is_current(std::uint64_t position) const;
  bool was_replaced() const;
  void sync() { file_.sync_data(); }
  /// Tells a clean-up of temporary files that somebody writes this one.
  bool try_lock() { return file_.try_lock(); }

  /// The file's size and the time of its last change. Writers leave it behind with the lock held:
  /// who finds another one knows that somebody else was at the file.
  struct Trace {
    std::uint64_t size = 0;
    std::int64_t changed_ns = 0;
    bool operator==(const Trace&) const = default;
  };
  Trace trace() const;

  /// Where the next frame is read or appended.
  const LogStamp& stamp() const noexcept { return stamp_; }
  bool has(const LogStamp& stamp) const;
  /// Goes on reading behind the frames that a snapshot holds.
  void seek(const LogStamp& stamp) { stamp_ = stamp; }

  /// Whether what begins at `position`, where no whole frame does, is damage rather than what a
  /// writer at work, one that died, or a power cut left of a last frame: its beginning, or zeros.
  std::optional<LogDamage> damage_at(std::uint64_t position) const;
  /// Looks at every frame again, up to `end`, where a frame ended.
  std::optional<LogDamage> check(std::uint64_t end) const;

  /// With the exclusive lock held and `next()` exhausted: cuts off what a writer that died left
  /// behind and returns its size in bytes. Throws kCorrupt, and changes nothing, if that is damage.
  std::uint64_t cut_torn_tail();

  /// With the exclusive lock held and `next()` exhausted. On failure the file is as before.
  void append(const arrow::Buffer& payload, bool sync);

  // Of a log that is copied; see following.cpp.
  /// How many of these bytes, the first of which begin a frame, are whole frames. Throws kCorrupt
  /// if the first is damaged.
  static std::uint64_t whole_frames(std::span<const std::uint8_t> bytes);
  /// Where the frame with the schema ends, in the first bytes of a log. Throws kCorrupt.
  static std::uint64_t schema_end(std::span<const std::uint8_t> bytes);
  /// As append, of whole frames; what they hold is read by `next()`.
  void append_frames(std::span<const std::uint8_t> frames, bool sync);
  /// Takes everything behind a stamp away.
  void cut(const LogStamp& stamp);

  std::uint64_t position() const noexcept { return stamp_.position; }
  std::uint64_t size() const { return file_.size(); }
  std::uint64_t generation() const noexcept { return generation_; }
  const File& file() const noexcept { return file_; }

  /// The bytes of a whole frame, by the offset it began at.
  std::uint64_t frame_bytes(std::uint64_t offset) const;
  /// Reads one frame again, by the offset it began at.
  std::shared_ptr<arrow::Buffer> read_frame(std::uint64_t offset) const;

 private:
  struct Frame {
    std::shared_ptr<arrow::Buffer> payload;
    std::uint64_t end;
    std::uint64_t checksum;
  };
  std::optional<Frame> frame_at(std::uint64_t offset, std::uint64_t file_size) const;
  std::uint64_t count_frames(std::uint64_t from, std::uint64_t file_size) const;
  bool is_torn(std::uint64_t offset, std::uint64_t file_size) const;
  bool is_zero(std::uint64_t begin, std::uint64_t end) const;

  File file_;
  File::Identity identity_;
  std::uint64_t generation_ = 0;
  LogStamp stamp_;
};

}  // namespace parsl_tl
