// The log: what a dying writer leaves is cut off, damage before whole records is not.
#include <arrow/buffer.h>

#include <algorithm>

#include "check.hpp"
#include "log.hpp"
#include "random.hpp"
#include "scratch.hpp"

namespace parsl_tl::testing {
namespace {

constexpr int kFrames = 5;

std::vector<std::string> make_log(const std::string& path) {
  Random random(7);
  std::vector<std::string> payloads;
  Log::create(path);
  Log log(path, true);
  for (int i = 0; i < kFrames; ++i) {
    const auto bytes = random.bytes(random.below(60));
    payloads.emplace_back(bytes.begin(), bytes.end());
    log.append(arrow::Buffer(payloads.back()), false);
  }
  return payloads;
}

/// Where the frames begin, and where the last one ends.
std::vector<std::uint64_t> frame_starts(const std::string& path) {
  Log log(path, false);
  std::vector<std::uint64_t> starts{log.position()};
  while (log.next() != nullptr) starts.push_back(log.position());
  return starts;
}

CASE(log_round_trip) {
  const Scratch scratch;
  const auto payloads = make_log(scratch / "log");
  Log log(scratch / "log", false);
  for (const std::string& payload : payloads) {
    const std::uint64_t offset = log.position();
    const auto frame = log.next();
    CHECK(frame != nullptr && frame->ToString() == payload);
    CHECK_EQ(log.read_frame(offset)->ToString(), payload);
  }
  CHECK(log.next() == nullptr);
  CHECK(log.is_current(log.position()));
  CHECK_THROWS(log.read_frame(log.position()), ErrorCode::kCorrupt);
  CHECK_THROWS(log.read_frame(~std::uint64_t{7}), ErrorCode::kCorrupt);
}

CASE(log_torn_at_every_length) {
  const Scratch scratch;
  const std::string path = scratch / "log";
  make_log(path);
  const Bytes whole = read_file(path);
  const auto starts = frame_starts(path);
  for (std::size_t size = starts.front(); size <= whole.size(); ++size) {
    write_file(path, {whole.begin(), whole.begin() + static_cast<long>(size)});
    Log log(path, true);
    std::size_t frames = 0;
    while (log.next() != nullptr) ++frames;
    CHECK(starts[frames] <= size && (frames == kFrames || size < starts[frames + 1]));
    CHECK_EQ(log.cut_torn_tail(), size - starts[frames]);
    CHECK_EQ(log.size(), starts[frames]);
    log.append(arrow::Buffer(std::string("again")), false);
    Log again(path, false);
    for (std::size_t i = 0; i < frames; ++i) CHECK(again.next() != nullptr);
    const auto last = again.next();
    CHECK(last != nullptr && last->ToString() == "again");
  }
}

CASE(log_without_its_beginning_is_refused) {
  const Scratch scratch;
  const std::string path = scratch / "log";
  make_log(path);
  const Bytes whole = read_file(path);
  const std::uint64_t first = frame_starts(path).front();
  for (std::size_t size = 0; size < first; ++size) {
    write_file(path, {whole.begin(), whole.begin() + static_cast<long>(size)});
    CHECK_THROWS(Log(path, true), ErrorCode::kCorrupt);
  }
}

CASE(log_damage_before_whole_frames_is_no_torn_tail) {
  const Scratch scratch;
  const std::string path = scratch / "log";
  make_log(path);
  const Bytes whole = read_file(path);
  const auto starts = frame_starts(path);
  for (std::size_t at = starts[1]; at < starts[kFrames - 1]; ++at) {
    Bytes damaged = whole;
    damaged[at] ^= 0x40;
    write_file(path, damaged);
    Log log(path, true);
    std::size_t frames = 0;
    while (log.next() != nullptr) ++frames;
    if (frames == kFrames) continue;  // a byte of the padding
    CHECK(starts[frames] <= at && at < starts[frames + 1]);
    CHECK_THROWS(log.cut_torn_tail(), ErrorCode::kCorrupt);
    CHECK(read_file(path) == damaged);
  }
}

CASE(log_knows_when_it_was_replaced) {
  const Scratch scratch;
  Log::create(scratch / "log");
  const Log log(scratch / "log", true);
  CHECK(!log.was_replaced());
  CHECK_THROWS(Log::create(scratch / "log"), ErrorCode::kIo);
  Log::create(scratch / "other");
  CHECK_EQ(std::rename((scratch / "other").c_str(), (scratch / "log").c_str()), 0);
  CHECK(log.was_replaced());
  CHECK(!log.is_current(log.position()));
  CHECK(Log(scratch / "log", true).generation() != log.generation());
}

CASE(log_is_copied_in_pieces) {
  const Scratch scratch;
  make_log(scratch / "log");
  const Bytes whole = read_file(scratch / "log");
  const auto starts = frame_starts(scratch / "log");
  CHECK_EQ(Log::schema_end(whole), starts.front());
  const std::span<const std::uint8_t> frames = std::span(whole).subspan(starts.front());
  for (std::size_t size = 0; size <= frames.size(); ++size) {
    const std::uint64_t end = starts.front() + Log::whole_frames(frames.first(size));
    CHECK(std::find(starts.begin(), starts.end(), end) != starts.end());
    CHECK(end - starts.front() <= size);
  }
  write_file(scratch / "copy", {whole.begin(), whole.begin() + static_cast<long>(starts.front())});
  Log copy(scratch / "copy", true);
  const LogStamp before = copy.stamp();
  copy.append_frames(frames, false);
  for (int i = 0; i < kFrames; ++i) CHECK(copy.next() != nullptr);
  CHECK(read_file(scratch / "copy") == whole);
  CHECK(Log(scratch / "log", false).has(copy.stamp()));
  copy.cut(before);
  CHECK_EQ(copy.size(), starts.front());
}

CASE(log_that_is_copied_ends_before_damage) {
  const Scratch scratch;
  make_log(scratch / "log");
  const Bytes whole = read_file(scratch / "log");
  const auto starts = frame_starts(scratch / "log");
  constexpr std::size_t kDamaged = 2;
  // Behind the length, whose damage may look as if more were to come.
  for (std::uint64_t at = starts[kDamaged] + 8; at < starts[kDamaged] + 16; ++at) {
    Bytes damaged = whole;
    damaged[at] ^= 1;
    const std::span<const std::uint8_t> frames = std::span(damaged).subspan(starts.front());
    CHECK_EQ(Log::whole_frames(frames), starts[kDamaged] - starts.front());
    CHECK_THROWS(Log::whole_frames(frames.subspan(starts[kDamaged] - starts.front())),
                 ErrorCode::kCorrupt);
  }
}

}  // namespace
}  // namespace parsl_tl::testing
