// The terms of a snapshot that is being written: the distinct layer keys of its models, numbered in
// ascending order, with their names.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "snapshot.hpp"

namespace parsl_tl {

class SnapshotTerms {
 public:
  /// `base`: the snapshot before, or null.
  explicit SnapshotTerms(const Snapshot* base);

  /// A term of the snapshot before, which one of its models still holds.
  void keep(std::uint32_t old_term) { kept_[old_term] = true; }
  /// A layer of a model that the snapshot before does not hold.
  void add(const LayerRecord& layer) { added_.emplace(layer.key, layer.name); }
  /// Behind the last of these, and before everything that follows.
  void number();

  const std::vector<std::uint64_t>& keys() const noexcept { return keys_; }
  std::uint32_t number_of(std::uint64_t key) const;  // of a key that is there
  /// The new number of a term of the snapshot before; kNone if it is gone.
  std::uint32_t renumbered(std::uint32_t old_term) const { return renumbered_[old_term]; }
  std::size_t num_old() const noexcept { return renumbered_.size(); }
  /// Key -> number, of what was added.
  std::unordered_map<std::uint64_t, std::uint32_t> added() const;

  struct Names {
    std::vector<std::uint32_t> codes;  // see Section::kTermNames
    std::vector<std::string> texts;    // classes first
    std::size_t num_classes = 0;
  };
  Names names() const;
  /// See Section::kBuckets.
  std::vector<std::uint32_t> buckets() const;

 private:
  const Snapshot* base_;
  std::vector<bool> kept_;
  std::unordered_map<std::uint64_t, std::string> added_;  // key -> name
  std::vector<std::uint64_t> keys_;
  std::vector<std::uint32_t> renumbered_;
};

}  // namespace parsl_tl
