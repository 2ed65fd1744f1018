// Segments: what is written is read, and damage is refused.
#include <cstring>

#include "check.hpp"
#include "checksum.hpp"
#include "random.hpp"
#include "scratch.hpp"
#include "segment.hpp"

namespace parsl_tl::testing {
namespace {

constexpr std::uint64_t kId = 0xABCDEF;

struct Tensors {
  std::vector<Bytes> memory;
  std::vector<TensorView> views;
};

/// Compressible and random ones, empty ones, scalars, several to a layer.
Tensors make_tensors(Random& random, std::size_t count) {
  Tensors made;
  made.memory.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t floats = i % 5 == 4 ? 0 : 1 + random.below(i % 7 == 6 ? 300000 : 300);
    made.memory[i] = i % 2 == 0 ? random.bytes(4 * floats) : Bytes(4 * floats, 7);
    std::vector<std::int64_t> shape{static_cast<std::int64_t>(floats)};
    if (i % 3 == 1) shape.push_back(1);
    if (floats == 1) shape.clear();
    made.views.push_back({100 - i / 2, i % 2 == 0 ? "float32" : "int32", shape, made.memory[i]});
  }
  return made;
}

void write_segment(const Scratch& scratch, const std::string& path, const Tensors& tensors,
                   const SegmentOptions& options) {
  SegmentWriter writer(scratch.path(), kId, tensors.views, options);
  writer.publish(path);
  CHECK_EQ(writer.file_bytes(), read_file(path).size());
}

void check_equal(Segment& segment, const Tensors& tensors) {
  const auto& directory = segment.directory();
  CHECK_EQ(directory.size(), tensors.views.size());
  for (std::uint32_t i = 0; i < directory.size(); ++i) {
    CHECK_EQ(directory[i].key, tensors.views[i].key);
    CHECK_EQ(directory[i].offset % kSegmentAlignment, 0U);
    CHECK_EQ(directory[i].dtype, tensors.views[i].dtype);
    CHECK(directory[i].shape == tensors.views[i].shape);
    const auto bytes = segment.tensor(i, "a layer");
    const Bytes got(bytes.begin(), bytes.end());
    CHECK(got == tensors.memory[i]);
    segment.check(i, "a layer");
    const auto range = segment.find(directory[i].key);
    CHECK(range && range->first <= i && i < range->first + range->count);
  }
  CHECK(!segment.find(7777));
}

CASE(segment_round_trip) {
  Random random(9);
  const Scratch scratch;
  for (const Codec codec : {Codec::kRaw, Codec::kLz4, Codec::kZstd}) {
    for (const bool checksums : {true, false}) {
      for (const std::size_t count : {0, 1, 2, 30}) {
        const Tensors tensors = make_tensors(random, count);
        write_segment(scratch, scratch / "seg", tensors, {codec, checksums, false});
        Segment segment(scratch / "seg", kId, true);
        check_equal(segment, tensors);
      }
    }
  }
}

CASE(segment_rewritten_without_dead_layers) {
  Random random(10);
  const Scratch scratch;
  const Tensors tensors = make_tensors(random, 20);
  write_segment(scratch, scratch / "seg", tensors, {Codec::kZstd, true, false});
  const Segment source(scratch / "seg", kId, true);
  const std::unordered_set<std::uint64_t> living{100, 97, 95};
  SegmentWriter writer(scratch.path(), source, living, false);
  writer.publish(scratch / "smaller");
  Tensors left;
  for (std::size_t i = 0; i < tensors.views.size(); ++i) {
    if (!living.contains(tensors.views[i].key)) continue;
    left.memory.push_back(tensors.memory[i]);
    left.views.push_back(tensors.views[i]);
  }
  Segment segment(scratch / "smaller", kId, true);
  check_equal(segment, left);
}

CASE(segment_unpublished_goes) {
  const Scratch scratch;
  Random random(11);
  const Tensors tensors = make_tensors(random, 3);
  {
    SegmentWriter writer(scratch.path(), kId, tensors.views, {});
  }
  {
    SegmentWriter writer(scratch.path(), kId, tensors.views, {});
    writer.publish(scratch / "seg");
  }
  CHECK_EQ(read_file(scratch / "seg").size() % 4, 0U);
  CHECK_THROWS(Segment(scratch / "none", kId, true), ErrorCode::kNotFound);
  CHECK_THROWS(Segment(scratch / "seg", kId + 1, true), ErrorCode::kCorrupt);
}

/// Where the directory lies; its checksum is the header's fourth number.
struct Place {
  std::uint64_t offset, size;
};
Place directory_of(const Bytes& file) {
  Place place{};
  std::memcpy(&place, file.data() + 16, sizeof place);
  return place;
}

CASE(segment_damage_is_refused) {
  Random random(12);
  const Scratch scratch;
  const Tensors tensors = make_tensors(random, 6);
  write_segment(scratch, scratch / "seg", tensors, {Codec::kLz4, true, false});
  const Bytes whole = read_file(scratch / "seg");
  const Place directory = directory_of(whole);
  const auto refused = [&](const Bytes& bytes) {
    write_file(scratch / "damaged", bytes);
    CHECK_THROWS(Segment(scratch / "damaged", kId, true), ErrorCode::kCorrupt);
  };
  for (std::size_t at = 0; at < kSegmentAlignment; ++at) {
    Bytes damaged = whole;
    damaged[at] ^= 0x10;
    refused(damaged);
  }
  for (std::size_t at = directory.offset; at < directory.offset + directory.size; ++at) {
    Bytes damaged = whole;
    damaged[at] ^= 0x10;
    refused(damaged);
  }
  for (std::size_t size = 0; size < whole.size(); size += 1 + random.below(5)) {
    refused({whole.begin(), whole.begin() + static_cast<long>(size)});
  }
  Bytes longer = whole;
  longer.push_back(0);
  refused(longer);
  for (std::uint32_t i = 0; i < tensors.views.size(); ++i) {
    const Segment segment(scratch / "seg", kId, true);
    if (segment.directory()[i].stored_size == 0) continue;
    Bytes damaged = whole;
    damaged[segment.directory()[i].offset] ^= 1;
    write_file(scratch / "damaged", damaged);
    Segment damaged_segment(scratch / "damaged", kId, true);
    CHECK_THROWS(damaged_segment.tensor(i, "a layer"), ErrorCode::kCorrupt);
    CHECK_THROWS(damaged_segment.check(i, "a layer"), ErrorCode::kCorrupt);
  }
}

/// A directory entry of a compressed tensor as it stands in the file.
struct [[gnu::packed]] Entry {
  std::uint64_t key, checksum, stored_size;
  std::uint8_t codec, checked, rank, dtype_length;
  std::uint64_t size;
  std::uint32_t dimension;
  char dtype[8];
};
static_assert(sizeof(Entry) == 48);

CASE(segment_directory_without_sense_is_refused) {
  const Entry good{1, 0, 30, 1, 1, 1, 7, 40, 10, "float32"};
  const auto parse = [](std::vector<Entry> entries) {
    std::vector<std::uint8_t> bytes(entries.size() * sizeof(Entry));
    std::memcpy(bytes.data(), entries.data(), bytes.size());
    return parse_directory(bytes, 192);
  };
  const auto parsed = parse({good, good});
  CHECK_EQ(parsed.size(), 2U);
  CHECK_EQ(parsed[0].offset, 64U);
  CHECK_EQ(parsed[1].offset, 128U);
  CHECK_EQ(parsed[1].size, 40U);
  const auto refused = [&](auto change) {
    Entry entry = good;
    change(entry);
    CHECK_THROWS(parse({good, entry}), ErrorCode::kCorrupt);
  };
  refused([](Entry& e) { e.stored_size = 65; });
  refused([](Entry& e) { e.stored_size = ~std::uint64_t{0}; });
  refused([](Entry& e) { e.size = 44; });
  refused([](Entry& e) { e.codec = 3; });
  refused([](Entry& e) { e.codec = 0; });  // then what was the size is the shape
  refused([](Entry& e) { e.checked = 2; });
  refused([](Entry& e) { e.rank = 3; });
  refused([](Entry& e) { e.dtype_length = 9; });
  refused([](Entry& e) { e.dtype[7] = 1; });
  refused([](Entry& e) { e.dimension = 9; });
  refused([](Entry& e) { e.dimension = 0; });
  refused([](Entry& e) { e.dimension = ~std::uint32_t{0}; });
  CHECK_THROWS(parse({good, good, good}), ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace parsl_tl::testing
