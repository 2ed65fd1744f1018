// Snapshots: folding changes nothing that a catalog tells, and damage is refused.
#include <cstring>

#include "check.hpp"
#include "checksum.hpp"
#include "history.hpp"
#include "scratch.hpp"
#include "snapshot.hpp"
#include "snapshot_writer.hpp"

namespace parsl_tl::testing {
namespace {

constexpr std::uint64_t kGeneration = 77;

std::shared_ptr<const Snapshot> fold(const Catalog& catalog, const Scratch& scratch) {
  const std::atomic<bool> stop{false};
  CHECK(write_snapshot(catalog, {kGeneration, 4096}, scratch.path(), scratch / "snapshot", stop));
  auto snapshot = Snapshot::open(scratch / "snapshot", kGeneration);
  CHECK(snapshot != nullptr);
  snapshot->verify_index();
  return snapshot;
}

CASE(snapshot_of_nothing) {
  const Scratch scratch;
  const Catalog empty;
  CHECK_EQ(describe(Catalog(fold(empty, scratch))), describe(empty));
  CHECK_EQ(describe(Catalog(fold(Catalog(fold(empty, scratch)), scratch))), describe(empty));
  CHECK(Snapshot::open(scratch / "snapshot", kGeneration + 1) == nullptr);
  CHECK(Snapshot::open(scratch / "none", kGeneration) == nullptr);
}

CASE(snapshot_merges_equal_a_replay) {
  const Scratch scratch;
  for (std::uint64_t seed = 1; seed <= 25; ++seed) {
    History history(
        {.seed = 100 + seed, .num_layers = 4 + 4 * seed, .retire = seed % 2 ? 0.3 : 0.5});
    Catalog replayed;  // never folded
    Catalog merged;
    std::uint64_t offset = 16;
    for (int step = 0; step < 150; ++step) {
      const auto records = history.next(replayed);
      apply(replayed, records, offset);
      apply(merged, records, offset);
      offset += 8;
      if (!history.random().chance(0.1)) continue;
      merged = Catalog(fold(merged, scratch));
      CHECK_EQ(merged.num_changes(), 0U);
      CHECK(describe(merged) == describe(replayed));
    }
    CHECK(describe(merged) == describe(replayed));
    CHECK(describe(Catalog(fold(replayed, scratch))) == describe(replayed));
    CHECK(describe(Catalog(fold(merged, scratch))) == describe(replayed));
  }
}

CASE(snapshot_stopped_leaves_nothing) {
  const Scratch scratch;
  const std::atomic<bool> stop{true};
  CHECK(!write_snapshot(Catalog(), {kGeneration, 16}, scratch.path(), scratch / "snapshot", stop));
  CHECK(Snapshot::open(scratch / "snapshot", kGeneration) == nullptr);
}

/// A small snapshot's bytes, to be damaged.
Bytes make_bytes(const Scratch& scratch) {
  History history({.seed = 5, .num_layers = 20});
  Catalog catalog;
  for (std::uint64_t step = 0; step < 25; ++step) {
    apply(catalog, history.next(catalog), 16 + 8 * step);
  }
  fold(catalog, scratch);
  return read_file(scratch / "snapshot");
}

struct Table {
  SnapshotHeader header{};
  SectionEntry entries[kNumSections] = {};

  explicit Table(const Bytes& file) {
    std::memcpy(&header, file.data(), sizeof header);
    std::memcpy(entries, file.data() + sizeof header, sizeof entries);
  }
  SectionEntry& operator[](Section which) { return entries[static_cast<std::size_t>(which)]; }
  /// Writes header and table back, with checksums that are right.
  void seal(Bytes& file) {
    for (SectionEntry& entry : entries) {
      entry.checksum = checksum(file.data() + entry.offset, entry.size);
    }
    ChecksumStream stream;
    stream.update(&header, offsetof(SnapshotHeader, table_checksum));
    stream.update(entries, sizeof entries);
    header.table_checksum = stream.digest();
    std::memcpy(file.data(), &header, sizeof header);
    std::memcpy(file.data() + sizeof header, entries, sizeof entries);
  }
};

void refused(const Scratch& scratch, const Bytes& bytes) {
  write_file(scratch / "damaged", bytes);
  CHECK_THROWS(
      [&] {
        // Of another generation, a snapshot is passed over without a look at the rest.
        const auto snapshot = Snapshot::open(scratch / "damaged", kGeneration);
        if (snapshot == nullptr) throw StoreException(ErrorCode::kCorrupt, "another generation");
        snapshot->verify_index();
      }(),
      ErrorCode::kCorrupt);
}

CASE(snapshot_damage_is_refused) {
  const Scratch scratch;
  const Bytes whole = make_bytes(scratch);
  Table table(whole);
  std::vector<bool> matters(whole.size());
  for (std::size_t i = 0; i < sizeof table.header + sizeof table.entries; ++i) matters[i] = true;
  for (const SectionEntry& entry : table.entries) {
    for (std::size_t i = 0; i < entry.size; ++i) matters[entry.offset + i] = true;
  }
  for (std::size_t at = 0; at < whole.size(); ++at) {
    if (!matters[at]) continue;  // between sections
    Bytes damaged = whole;
    damaged[at] ^= 0x04;
    refused(scratch, damaged);
  }
  for (std::size_t size = 0; size < whole.size(); size += 13) {
    refused(scratch, {whole.begin(), whole.begin() + static_cast<long>(size)});
  }
}

/// Sets one value of a section, seals the file, and expects it to be refused.
template <typename T>
void refused_with(const Scratch& scratch, const Bytes& whole, Section which, std::size_t place,
                  T value) {
  Bytes damaged = whole;
  Table table(whole);
  const SectionEntry& entry = table[which];
  const std::size_t count = entry.size / sizeof(T);
  CHECK(place < count);
  std::memcpy(damaged.data() + entry.offset + place * sizeof(T), &value, sizeof value);
  table.seal(damaged);
  refused(scratch, damaged);
}

CASE(snapshot_content_without_sense_is_refused) {
  const Scratch scratch;
  const Bytes whole = make_bytes(scratch);
  Bytes sealed = whole;
  Table table(whole);
  table.seal(sealed);
  CHECK(sealed == whole);
  using enum Section;
  constexpr std::uint64_t kHuge = ~std::uint64_t{0} / 2;
  for (const Section starts :
       {kShareStarts, kAttributeStarts, kOwnerStarts, kNameStarts, kPostingStarts}) {
    const std::size_t last = table[starts].size / 8 - 1;
    refused_with<std::uint64_t>(scratch, whole, starts, 0, 1);
    refused_with<std::uint64_t>(scratch, whole, starts, 1, kHuge);
    refused_with<std::uint64_t>(scratch, whole, starts, last, 0);
    refused_with<std::uint64_t>(scratch, whole, starts, last, kHuge);
  }
  const auto terms = static_cast<std::uint32_t>(table.header.terms);
  const auto layers = static_cast<std::uint32_t>(table.header.layers);
  const auto models = static_cast<std::uint32_t>(table.header.models);
  refused_with<std::uint32_t>(scratch, whole, kShareTerms, 3, terms);
  refused_with<std::uint32_t>(scratch, whole, kShareTerms, 3, kNone);
  refused_with<std::uint32_t>(scratch, whole, kShareLayers, 3, layers);
  refused_with<std::uint32_t>(scratch, whole, kLayerTerms, 0, terms);
  refused_with<std::uint32_t>(scratch, whole, kUsedModels, 0, models);
  refused_with<std::uint32_t>(scratch, whole, kPostings, 0, models);
  refused_with<std::uint32_t>(scratch, whole, kBuckets, 0, 1);
  refused_with<std::uint32_t>(scratch, whole, kBuckets, 1, terms + 1);
  refused_with<std::uint32_t>(scratch, whole, kTermNames, 1, 1000);
  refused_with<std::uint32_t>(scratch, whole, kTermNames, 1, kNone);
  refused_with<std::uint64_t>(scratch, whole, kIds, 1, 12345);
  refused_with<double>(scratch, whole, kQualities, 1, 1e300);
  refused_with<std::uint64_t>(scratch, whole, kUsedIds, 1, ~std::uint64_t{0});
  refused_with<std::uint64_t>(scratch, whole, kOwnerIds, 1, ~std::uint64_t{0});
  refused_with<std::uint64_t>(scratch, whole, kTermKeys, 1, ~std::uint64_t{0});
}

CASE(snapshot_counts_that_wrap_are_refused) {
  const Scratch scratch;
  const Bytes whole = make_bytes(scratch);
  const auto sealed = [&](auto change) {
    Bytes damaged = whole;
    Table table(whole);
    change(table);
    table.seal(damaged);
    refused(scratch, damaged);
  };
  sealed([](Table& t) { t.header.models += std::uint64_t{1} << 61; });
  sealed([](Table& t) { t.header.terms += std::uint64_t{1} << 62; });
  sealed([](Table& t) { t.header.num_classes += 1; });
  sealed([](Table& t) { t.header.num_classes = ~std::uint64_t{0}; });
  sealed([](Table& t) { t[Section::kBuckets].size = 0; });
  sealed([](Table& t) { t[Section::kBuckets].size = 4; });
  sealed([](Table& t) { t[Section::kBuckets].size -= 4; });
  sealed([](Table& t) { t[Section::kIds].offset += 8; });
}

}  // namespace
}  // namespace parsl_tl::testing
