// What a snapshot must be before it is read: checksums that are right, and numbers that name what
// is there. The second is no matter of damage, which the first would find, but of files from
// somewhere else: whatever a file says, nothing outside of its mapping is read.
//
// All are scans at the speed of memory, without branches in their loops.
#include <bit>
#include <cmath>
#include <cstddef>

#include "checksum.hpp"
#include "snapshot.hpp"

namespace parsl_tl {
namespace {

/// Starts of runs that fill [0, end), in order.
bool are_starts(std::span<const std::uint64_t> starts, std::uint64_t end) {
  bool rising = true;
  for (std::size_t i = 1; i < starts.size(); ++i) rising &= starts[i - 1] <= starts[i];
  return rising && starts.front() == 0 && starts.back() == end;
}

bool is_ascending(std::span<const std::uint64_t> values) {
  bool rising = true;
  for (std::size_t i = 1; i < values.size(); ++i) rising &= values[i - 1] < values[i];
  return rising;
}

bool are_below(std::span<const std::uint32_t> values, std::uint64_t end) {
  bool below = true;
  for (const std::uint32_t value : values) below &= value < end;
  return below;
}

bool are_below_or_none(std::span<const std::uint32_t> values, std::uint64_t end) {
  bool below = true;
  for (const std::uint32_t value : values) below &= value < end || value == kNone;
  return below;
}

/// Best first, every model at a place of its own; with no NaN, which would have none.
bool is_ranking(std::span<const double> qualities, std::span<const std::uint64_t> sequences) {
  bool falling = true;
  for (std::size_t i = 1; i < qualities.size(); ++i) {
    falling &= qualities[i - 1] > qualities[i] ||
               (qualities[i - 1] == qualities[i] && sequences[i - 1] > sequences[i]);
  }
  return falling && (qualities.empty() ||
                     (std::isfinite(qualities.front()) && std::isfinite(qualities.back())));
}

/// Where keys with given first bits begin: 2^bits + 1 starts.
bool are_buckets(std::span<const std::uint32_t> buckets, std::span<const std::uint64_t> keys) {
  if (buckets.size() < 2 || !std::has_single_bit(buckets.size() - 1)) return false;
  const int bits = std::bit_width(buckets.size() - 1) - 1;
  bool right = buckets.front() == 0 && buckets.back() == keys.size();
  for (std::size_t i = 1; i < buckets.size(); ++i) right &= buckets[i - 1] <= buckets[i];
  if (!right || bits == 0) return right;
  for (std::size_t i = 1; i + 1 < buckets.size(); ++i) {
    const std::uint32_t begin = buckets[i];
    right &= begin == 0 || keys[begin - 1] >> (64 - bits) < i;
    right &= begin == keys.size() || keys[begin] >> (64 - bits) >= i;
  }
  return right;
}

}  // namespace

void Snapshot::verify_catalog() const {
  check_table();
  check_counts();
  check_sizes();
  for (std::size_t i = 0; i < kFirstSearchSection; ++i) check_section(i);
  check_models();
  check_owners();
  check_used();
  check_terms();
  check_data();
}

void Snapshot::verify_index() const {
  std::call_once(index_verified_, [this] {
    for (std::size_t i = kFirstSearchSection; i < kNumSections; ++i) check_section(i);
    check_postings();
  });
}

void Snapshot::check_table() const {
  // The table's checksum covers the header's counts too.
  ChecksumStream stream;
  stream.update(&header_, offsetof(SnapshotHeader, table_checksum));
  stream.update(table_.data(), table_.size_bytes());
  if (stream.digest() != header_.table_checksum) damaged("has a damaged table");
  for (const SectionEntry& entry : table_) {
    if (entry.offset > mapping_.size() || entry.size > mapping_.size() - entry.offset ||
        entry.offset % kSnapshotAlignment != 0) {
      damaged("is cut off");
    }
  }
}

void Snapshot::check_counts() const {
  const SnapshotHeader& n = header_;
  // Everything takes a byte at the least. Behind this, no count times a width can wrap.
  for (const std::uint64_t count : {n.models, n.shares, n.owners, n.layers, n.used, n.terms,
                                    n.fingerprints, n.postings, n.num_names}) {
    if (count > mapping_.size()) damaged("counts more than it holds");
  }
  if (n.models >= kNone || n.layers >= kNone || n.terms >= kNone || n.num_classes > n.num_names ||
      n.postings != n.shares || n.stamp.position % 8 != 0) {
    damaged("has counts that do not go together");
  }
}

void Snapshot::check_sizes() const {
  const auto expect = [this](std::uint64_t count, std::size_t width, auto... sections) {
    for (const Section which : {sections...}) {
      if (table_[static_cast<std::size_t>(which)].size != count * width) {
        damaged("has a section of the wrong size");
      }
    }
  };
  using enum Section;
  const SnapshotHeader& n = header_;
  expect(n.models, 8, kIds, kCreated, kDonors, kFrames, kQualities, kSequences);
  expect(n.models, 4, kRows, kModelData, kDataModels);
  expect(n.models, 1, kHasDonor);
  expect(n.models + 1, 8, kShareStarts, kAttributeStarts);
  expect(n.shares, 4, kShareLayers, kShareTerms);
  expect(n.owners, 8, kOwnerIds, kOwnerSegments);
  expect(n.owners + 1, 8, kOwnerStarts);
  expect(n.layers, 4, kLayerTerms, kLayerReferences);
  expect(n.layers, 8, kLayerBytes);
  expect(n.used, 8, kUsedIds, kUsedParents);
  expect(n.used, 4, kUsedModels);
  expect(n.used, 1, kUsedHasParent);
  expect(n.terms, 8, kTermKeys, kTermBytes);
  expect(n.terms, 4, kTermNames);
  expect(n.terms + 1, 8, kPostingStarts);
  expect(n.postings, 4, kPostings);
  expect(n.num_names + 1, 8, kNameStarts);
  expect(n.fingerprints, 8, kFingerprints);
  expect(n.fingerprints + 1, 8, kDataStarts);
}

void Snapshot::check_section(std::size_t which) const {
  const SectionEntry& entry = table_[which];
  if (checksum(mapping_.data() + entry.offset, entry.size) != entry.checksum) {
    damaged("has a damaged section");
  }
}

void Snapshot::check_models() const {
  using enum Section;
  if (!is_ranking(section<double>(kQualities), section<std::uint64_t>(kSequences))) {
    damaged("has models out of their order");
  }
  if (!are_starts(section<std::uint64_t>(kShareStarts), header_.shares) ||
      !are_starts(section<std::uint64_t>(kAttributeStarts), section<char>(kAttributes).size()) ||
      !are_below(section<std::uint32_t>(kShareTerms), header_.terms) ||
      !are_below_or_none(section<std::uint32_t>(kShareLayers), header_.layers)) {
    damaged("has models with layers that are not there");
  }
}

void Snapshot::check_owners() const {
  using enum Section;
  if (!is_ascending(section<std::uint64_t>(kOwnerIds)) ||
      !are_starts(section<std::uint64_t>(kOwnerStarts), header_.layers) ||
      !are_below(section<std::uint32_t>(kLayerTerms), header_.terms)) {
    damaged("has owners with layers that are not there");
  }
}

void Snapshot::check_used() const {
  // Every model is found by its id: that number of ids name a model, each another one, since the
  // ids differ and each stands in the model that it names.
  const auto used = section<std::uint64_t>(Section::kUsedIds);
  const auto models = section<std::uint32_t>(Section::kUsedModels);
  const auto ids = section<std::uint64_t>(Section::kIds);
  bool right = is_ascending(used) && are_below_or_none(models, header_.models);
  if (!right) damaged("has ids that are not in order");
  std::size_t living = 0;
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (models[i] == kNone) continue;
    right &= ids[models[i]] == used[i];
    ++living;
  }
  if (!right || living != ids.size()) damaged("has ids that name other models");
}

void Snapshot::check_terms() const {
  using enum Section;
  const auto keys = section<std::uint64_t>(kTermKeys);
  if (!is_ascending(keys) || !are_buckets(section<std::uint32_t>(kBuckets), keys) ||
      !are_starts(section<std::uint64_t>(kNameStarts), section<char>(kNames).size())) {
    damaged("has layer keys out of their order");
  }
  const std::uint64_t classes = header_.num_classes;
  const std::uint64_t odd_names = header_.num_names - classes;
  bool named = true;
  for (const std::uint32_t code : section<std::uint32_t>(kTermNames)) {
    named &= (code & kOddName) != 0 ? (code & ~kOddName) < odd_names : code < classes;
  }
  if (!named) damaged("has layers with names that are not there");
}

void Snapshot::check_data() const {
  if (!is_ascending(section<std::uint64_t>(Section::kFingerprints)) ||
      !are_below(section<std::uint32_t>(Section::kModelData), header_.fingerprints)) {
    damaged("has models of data that is not there");
  }
}

void Snapshot::check_postings() const {
  if (!are_starts(section<std::uint64_t>(Section::kPostingStarts), header_.postings) ||
      !are_below(section<std::uint32_t>(Section::kPostings), header_.models) ||
      !are_starts(section<std::uint64_t>(Section::kDataStarts), header_.models) ||
      !are_below(section<std::uint32_t>(Section::kDataModels), header_.models)) {
    damaged("has an index of models that are not there");
  }
}

}  // namespace parsl_tl
