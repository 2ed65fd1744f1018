// A snapshot: the catalog and its index as of one position of the log, in one mapped file.
//
// It is derived from the log and can be made anew from it at any time. All processes of a node map
// the same file, so they share one copy in the page cache, and a process pays only for the parts
// that it touches. The file is immutable and replaced by rename.
//
//   snapshot := header | section table | sections, each aligned to 64 bytes
//   header   := "PTLSNAP3" | the log's stamp: generation, position, and offset and checksum of the
//               frame that ends there | sequence of the next model | counts and sums (see
//               SnapshotHeader) | XXH3-64 of all this and the table
//   table    := (offset | size | XXH3-64 of the section)*, in the order of `Section`
//
// Models are numbered by rank (quality, then recency, best first): the order in which ties are
// decided, so that posting lists need not be sorted for it. Terms are the distinct layer keys,
// ascending. Starts have one entry more than there are things, as in CSR.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "file.hpp"
#include "log.hpp"
#include "model.hpp"
#include "prefix_search.hpp"

namespace parsl_tl {

enum class Section : std::uint32_t {
  // One entry per model:
  kIds,              // u64
  kQualities,        // f64
  kSequences,        // u64
  kCreated,          // i64, ns
  kDonors,           // u64
  kHasDonor,         // u8
  kFrames,           // u64, offset of the record's frame in the log
  kRows,             // u32, the record's row in its frame
  kShareStarts,      // u64
  kAttributeStarts,  // u64
  kAttributes,       // the JSON texts
  kModelData,        // u32, which of the fingerprints is that of its data
  // One per layer of a model, in topological order:
  kShareTerms,   // u32
  kShareLayers,  // u32, the owned layer; kNone without tensors
  // Models that own layers in use, retired ones included:
  kOwnerIds,       // u64, ascending
  kOwnerSegments,  // u64, bytes of the segment file
  kOwnerStarts,    // u64
  // One per owned layer:
  kLayerTerms,       // u32, ascending within an owner
  kLayerReferences,  // u32
  kLayerBytes,       // u64
  // Every id that was ever used:
  kUsedIds,        // u64, ascending
  kUsedParents,    // u64
  kUsedHasParent,  // u8
  kUsedModels,     // u32, kNone if the model was retired
  // One per term:
  kTermKeys,    // u64, ascending
  kTermNames,   // u32: a class (the name follows from the key), or kOddName + a name
  kBuckets,     // u32: where in kTermKeys keys with given first bits begin
  kNameStarts,  // u64: class names, then the odd names
  kNames,       // their texts
  // Of the data that models were trained on:
  kFingerprints,  // u64, ascending
  // What only the search reads, verified when it is first asked:
  kTermBytes,      // u64, one per term
  kPostingStarts,  // u64
  kPostings,       // u32: models that hold the term, ascending, so best first
  kDataStarts,     // u64, one per fingerprint
  kDataModels,     // u32: models of that data, ascending
};
constexpr std::size_t kNumSections = static_cast<std::size_t>(Section::kDataModels) + 1;
constexpr std::size_t kFirstSearchSection = static_cast<std::size_t>(Section::kTermBytes);

constexpr char kSnapshotMagic[8] = {'P', 'T', 'L', 'S', 'N', 'A', 'P', '3'};
constexpr std::uint64_t kSnapshotAlignment = 64;
constexpr std::uint32_t kNone = 0xFFFFFFFF;
constexpr std::uint32_t kOddName = 0x80000000;

struct SnapshotHeader {
  char magic[8];
  LogStamp stamp;
  std::uint64_t next_sequence;
  std::uint64_t models;
  std::uint64_t shares;
  std::uint64_t owners;
  std::uint64_t layers;
  std::uint64_t used;
  std::uint64_t terms;
  std::uint64_t fingerprints;
  std::uint64_t postings;
  std::uint64_t num_names;
  std::uint64_t num_classes;
  std::uint64_t bytes_live;
  std::uint64_t bytes_segments;
  std::uint64_t table_checksum;
};
static_assert(sizeof(SnapshotHeader) == 152);

struct SectionEntry {
  std::uint64_t offset;
  std::uint64_t size;
  std::uint64_t checksum;
};

/// Which models of a snapshot were retired since, one bit each; empty if none.
using RetiredBits = std::vector<std::uint64_t>;

class Snapshot {
 public:
  /// Maps the file and verifies the catalog's sections: their checksums, and that every number in
  /// them names something that is there. Nothing if there is no such file, or it is
  /// of another generation of the log, or of another release. Throws kCorrupt if it is damaged.
  static std::shared_ptr<const Snapshot> open(const std::string& path, std::uint64_t generation);

  const SnapshotHeader& header() const noexcept { return header_; }
  std::pair<std::uint64_t, std::uint64_t> identity() const noexcept { return identity_; }
  std::uint32_t num_models() const noexcept { return static_cast<std::uint32_t>(header_.models); }
  /// Bytes of the sections that the search reads.
  std::uint64_t index_bytes() const noexcept;
  std::uint64_t file_bytes() const noexcept { return mapping_.size(); }

  template <typename T>
  std::span<const T> section(Section which) const noexcept {
    const SectionEntry& entry = table_[static_cast<std::size_t>(which)];
    return {reinterpret_cast<const T*>(mapping_.data() + entry.offset), entry.size / sizeof(T)};
  }

  struct Used {
    std::optional<std::uint64_t> parent;
    std::uint32_t model;  // kNone if retired
  };
  std::optional<Used> find_used(std::uint64_t id) const;
  std::optional<std::uint32_t> find_owner(std::uint64_t id) const;
  std::optional<std::uint32_t> find_term(std::uint64_t key) const;
  std::optional<std::uint32_t> find_fingerprint(std::uint64_t fingerprint) const;
  /// The row of an owned layer.
  std::optional<std::uint32_t> find_layer(std::uint32_t owner, std::uint64_t key) const;
  std::uint32_t owner_of_layer(std::uint32_t layer) const;

  /// Without names, materializing a model costs a third.
  Model model(std::uint32_t slot, bool with_names = true) const;
  std::string layer_name(std::uint32_t term) const;

  /// Verifies the index's sections, once. Throws kCorrupt.
  void verify_index() const;
  void search(const Query& query, const RetiredBits& retired, Donor& donor) const;

 private:
  Snapshot(const File& file, const std::string& path);
  // See snapshot_check.cpp.
  void verify_catalog() const;
  void check_table() const;
  void check_counts() const;
  void check_sizes() const;
  void check_section(std::size_t which) const;
  void check_models() const;
  void check_owners() const;
  void check_used() const;
  void check_terms() const;
  void check_postings() const;
  void check_data() const;
  [[noreturn]] void damaged(const std::string& why) const;

  std::string path_;
  std::pair<std::uint64_t, std::uint64_t> identity_;
  Mapping mapping_;
  SnapshotHeader header_{};
  std::span<const SectionEntry> table_;
  mutable std::once_flag index_verified_;
};

}  // namespace parsl_tl
