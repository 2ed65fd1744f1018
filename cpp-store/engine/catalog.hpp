// What the store knows, in memory: living models, the layers they own and share, and lineage.
// A pure state machine over the records of the log: replaying them gives the same state anywhere.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "prefix_index.hpp"
#include "record.hpp"

namespace parsl_tl {

/// A layer in a model's composition.
struct LayerShare {
  std::uint64_t key = 0;
  std::string name;
  std::uint64_t owner = 0;
};

struct Model {
  std::uint64_t id = 0;
  std::uint64_t sequence = 0;  // order of storing
  std::int64_t created_ns = 0;
  double quality = 0.0;
  std::optional<std::uint64_t> parent;
  std::optional<std::uint64_t> donor;
  std::vector<LayerShare> layers;
  std::uint64_t bytes_owned = 0;
  std::uint64_t bytes_total = 0;
  std::uint64_t log_offset = 0;  // where the record lies: edges and architecture are read from it
  std::string attributes;
};

/// A layer's tensors, as its owner stored them.
struct OwnedLayer {
  std::vector<TensorRecord> tensors;
  std::uint64_t bytes = 0;
  std::uint64_t references = 0;  // living models whose composition holds the layer
};

/// All living layers of one owner; the owner itself may be retired.
struct Owner {
  std::unordered_map<std::uint64_t, OwnedLayer> layers;  // by key
  std::uint64_t segment_bytes = 0;                       // 0: the model has no segment
};

struct RetireResult {
  std::uint64_t bytes_freed = 0;
  std::vector<std::uint64_t> dead_segments;  // owners none of whose tensors is referred to
};

class Catalog {
 public:
  /// Throws kCorrupt when a record contradicts the state (an owner that never was, say).
  RetireResult apply(Record record, std::uint64_t log_offset);

  const Model* find(std::uint64_t id) const;
  const Model& get(std::uint64_t id) const;  // throws kNotFound
  bool was_used(std::uint64_t id) const { return parent_of_.contains(id); }
  const OwnedLayer* find_layer(std::uint64_t owner, std::uint64_t key) const;

  const std::map<std::uint64_t, const Model*>& by_sequence() const { return by_sequence_; }
  const std::unordered_map<std::uint64_t, Owner>& owners() const { return owners_; }
  const PrefixIndex& index() const { return index_; }

  /// Parent, grandparent, ...; retired ones included.
  std::vector<std::uint64_t> ancestors(std::uint64_t id) const;
  /// Children first, then their children, and so on; retired ones included.
  std::vector<std::uint64_t> descendants(std::uint64_t id) const;

  std::uint64_t bytes_live() const noexcept { return bytes_live_; }
  std::uint64_t bytes_segments() const noexcept { return bytes_segments_; }

 private:
  void put(Record record, std::uint64_t log_offset);
  RetireResult retire(std::uint64_t id);

  std::unordered_map<std::uint64_t, Model> models_;
  std::map<std::uint64_t, const Model*> by_sequence_;
  std::unordered_map<std::uint64_t, Owner> owners_;
  // Every id ever used, with its parent: ids are never reused, and lineage outlives retirement.
  std::unordered_map<std::uint64_t, std::optional<std::uint64_t>> parent_of_;
  std::unordered_map<std::uint64_t, std::vector<std::uint64_t>> children_of_;
  PrefixIndex index_;
  std::uint64_t next_sequence_ = 0;
  std::uint64_t bytes_live_ = 0;
  std::uint64_t bytes_segments_ = 0;
};

}  // namespace parsl_tl
