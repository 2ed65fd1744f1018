// The work of snapshot_writer.hpp, between the files that do it.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "catalog.hpp"
#include "checksum.hpp"
#include "file.hpp"
#include "snapshot.hpp"
#include "snapshot_terms.hpp"

namespace parsl_tl {

/// Merges a catalog's snapshot and its delta into the sections of a new one. Everything that is
/// sorted in the old snapshot stays so, and old numbers map to new ones by arrays: no hashing over
/// all models.
class SnapshotWriter {
 public:
  SnapshotWriter(const Catalog& catalog, const LogStamp& stamp, File file);
  ~SnapshotWriter();
  SnapshotWriter(const SnapshotWriter&) = delete;
  SnapshotWriter& operator=(const SnapshotWriter&) = delete;

  /// False if `stop` became true.
  bool write(const std::atomic<bool>& stop);
  /// Gives the file its name.
  bool publish(const std::string& path);

 private:
  /// A model to write: one of the old snapshot's, or one of the delta's.
  struct Source {
    double quality;
    std::uint64_t sequence;
    std::uint32_t old_slot;  // kNone for one of the delta's
    const Model* model;
  };

  template <typename T>
  void put(Section which, const std::vector<T>& values) {
    const std::uint64_t size = values.size() * sizeof(T);
    offset_ = (offset_ + kSnapshotAlignment - 1) / kSnapshotAlignment * kSnapshotAlignment;
    table_[static_cast<std::size_t>(which)] = {offset_, size, checksum(values.data(), size)};
    file_.write_at(offset_, values.data(), size);
    offset_ += size;
  }

  template <typename T>
  std::span<const T> old(Section which) const {
    return base_ ? base_->section<T>(which) : std::span<const T>();
  }

  void rank_models();
  void collect_terms();
  void write_terms();
  void write_models();
  void write_fingerprints();
  void write_used();
  // In snapshot_layers.cpp:
  void write_owners();
  void write_shares();
  void write_postings();
  void write_data();

  const Catalog& catalog_;
  const Snapshot* base_;
  File file_;
  SnapshotHeader header_{};
  SectionEntry table_[kNumSections] = {};
  std::uint64_t offset_ = 0;
  bool published_ = false;

  std::vector<Source> sources_;  // by rank
  SnapshotTerms terms_;
  std::vector<std::uint32_t> new_layers_;  // old owned layer -> new one, kNone if gone
  std::unordered_map<std::uint64_t, std::unordered_map<std::uint64_t, std::uint32_t>>
      delta_layers_;  // owner -> key -> new owned layer, for what the delta owns
  std::vector<std::uint64_t> share_starts_;
  std::vector<std::uint32_t> share_terms_;
  std::vector<std::uint64_t> term_bytes_;
  std::vector<std::uint32_t> model_data_;  // by rank, see Section::kModelData
};

}  // namespace parsl_tl
