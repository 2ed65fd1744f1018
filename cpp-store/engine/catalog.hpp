// The state that the log describes: models, owners with reference counts, lineage, and the index.
//
// A snapshot holds most of it, shared by all processes; what came since is a small private delta:
// new models, which of the snapshot's were retired, and reference counts that changed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "delta_index.hpp"
#include "membership.hpp"
#include "model.hpp"
#include "record.hpp"
#include "snapshot.hpp"

namespace parsl_tl {

struct RetireResult {
  std::uint64_t bytes_freed = 0;
  std::vector<std::uint64_t> dead_segments;  // owners none of whose tensors is referred to
};

struct LineageLink {
  std::uint64_t child = 0;
  std::uint64_t parent = 0;
};

/// The children in the links, then their children, and so on; in the order of their ids.
std::vector<std::uint64_t> descendants_in(const std::vector<LineageLink>& links, std::uint64_t id);

class Catalog {
 public:
  explicit Catalog(std::shared_ptr<const Snapshot> base = nullptr, Membership membership = {});

  /// A record in the form in which copies of a catalog share it.
  struct Change {
    Record record;  // without layers, edges and texts for a put: those are the model's
    std::shared_ptr<const Model> model;
  };
  /// `sequence` is `next_sequence()`, plus one for each put prepared since.
  static Change prepare(Record record, RecordPlace place, std::uint64_t sequence);
  /// Throws kCorrupt when a record contradicts the state (an owner that never was, say).
  RetireResult apply(const Change& change);

  /// Of a model of another server, its hold.
  std::shared_ptr<const Model> find(std::uint64_t id) const;
  std::shared_ptr<const Model> get(std::uint64_t id) const;  // throws kNotFound
  /// Whether a living model, or a hold, has the id.
  bool is_living(std::uint64_t id) const;
  /// Whether a living model of this folder has the id.
  bool contains(std::uint64_t id) const { return membership_.is_home_of(id) && is_living(id); }
  bool was_used(std::uint64_t id) const;
  /// When a living model, or a hold, was stored. With the id it tells which model that is: a store
  /// that went back to a copy of it may use an id anew.
  std::optional<std::int64_t> created_ns(std::uint64_t id) const;
  /// Nothing for a layer without tensors, or one that is not in use.
  std::optional<LayerUse> find_layer(std::uint64_t owner, std::uint64_t key) const;
  /// Bytes of the owner's segment file; 0 if it has none in use.
  std::uint64_t segment_bytes(std::uint64_t owner) const;

  /// Improves the donor, of another catalog maybe, by a model that shares a key and beats it.
  void improve(const Query& query, Donor& donor) const;
  Donor best(const Query& query) const {
    Donor donor;
    improve(query, donor);
    return donor;
  }

  /// Parent, grandparent, ...; retired ones included.
  std::vector<std::uint64_t> ancestors(std::uint64_t id) const;
  /// All below the given models, in no order, each with its parent; retired ones included.
  std::vector<LineageLink> links_below(std::span<const std::uint64_t> ids) const;

  /// Every living model in the order of storing; without names if they are not needed.
  void for_each_model(bool with_names, const std::function<void(const Model&)>& visit) const;
  /// Every living model and every hold, likewise.
  void for_each_holder(bool with_names, const std::function<void(const Model&)>& visit) const;
  void for_each_layer(const std::function<void(std::uint64_t owner, std::uint64_t key,
                                               const LayerUse&)>& visit) const;
  void for_each_owner(
      const std::function<void(std::uint64_t owner, std::uint64_t segment_bytes)>& visit) const;
  void for_each_used(const std::function<void(std::uint64_t id, std::optional<std::uint64_t> parent,
                                              bool living)>& visit) const;

  const Membership& membership() const noexcept { return membership_; }
  std::size_t num_models() const noexcept { return num_holders() - num_holds_; }
  std::size_t num_holders() const noexcept;
  /// Whether no id was ever used, and nothing is held.
  bool is_empty() const noexcept {
    return parent_of_.empty() && num_holders() == 0 && (!base_ || base_->header().used == 0);
  }
  std::uint64_t bytes_live() const noexcept { return bytes_live_; }
  std::uint64_t bytes_segments() const noexcept { return bytes_segments_; }
  std::uint64_t next_sequence() const noexcept { return next_sequence_; }
  /// Records applied since the snapshot.
  std::size_t num_changes() const noexcept { return num_changes_; }
  /// Layers of departed models whose holders are yet to come, later in the log.
  std::size_t num_awaited() const noexcept { return num_awaited_; }
  const Snapshot* base() const noexcept { return base_.get(); }
  const DeltaIndex& index() const noexcept { return index_; }

 private:
  friend class SnapshotWriter;
  /// All living layers of one owner that the snapshot does not hold; it may be retired.
  struct Owner {
    std::unordered_map<std::uint64_t, LayerUse> layers;  // by key
    std::uint64_t segment_bytes = 0;
  };

  RetireResult put(std::shared_ptr<const Model> model, std::uint64_t segment_bytes);
  RetireResult retire(std::uint64_t id);
  void shrink(std::uint64_t owner, std::uint64_t segment_bytes);
  void depart(const Record& record);

  bool is_retired(std::uint32_t slot) const;
  std::optional<std::uint32_t> base_layer(std::uint64_t owner, std::uint64_t key) const;
  std::uint32_t base_references(std::uint32_t layer) const;
  std::uint64_t base_segment(std::uint32_t owner) const;
  void add_reference(const LayerRecord& layer);
  void drop_reference(const LayerRecord& layer, RetireResult& result);
  void free_segment(std::uint64_t owner, std::uint64_t bytes, RetireResult& result);

  void hide(RetiredBits& bits, std::uint32_t slot) const;

  std::shared_ptr<const Snapshot> base_;
  Membership membership_;
  std::size_t num_holds_ = 0;
  RetiredBits retired_;  // of the snapshot's models
  RetiredBits hidden_;   // from the search: the same and the holds; empty where there are none
  std::size_t num_retired_ = 0;
  std::unordered_map<std::uint32_t, std::uint32_t> base_references_;  // layers that changed
  std::unordered_map<std::uint32_t, std::uint64_t> base_segments_;    // owners that changed

  std::unordered_map<std::uint64_t, std::shared_ptr<const Model>> models_;
  std::unordered_map<std::uint64_t, Owner> owners_;
  // Ids used since the snapshot, with their parents: ids are never reused, lineage outlives
  // retirement.
  std::unordered_map<std::uint64_t, std::optional<std::uint64_t>> parent_of_;
  DeltaIndex index_;
  std::uint64_t next_sequence_ = 0;
  std::uint64_t bytes_live_ = 0;
  std::uint64_t bytes_segments_ = 0;
  std::size_t num_changes_ = 0;
  std::size_t num_awaited_ = 0;
};

}  // namespace parsl_tl
