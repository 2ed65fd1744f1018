// The inverted index of the models that no snapshot holds yet: small, private, mutable.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "prefix_search.hpp"

namespace parsl_tl {

class DeltaIndex {
 public:
  struct Entry {
    std::uint64_t key;
    std::uint64_t bytes;  // size of the layer's tensors
  };

  struct Item {
    std::uint64_t model_id = 0;
    double quality = 0.0;
    std::uint64_t sequence = 0;
    std::uint64_t fingerprint = 0;  // of the model's data
  };

  void add(const Item& model, std::span<const Entry> layers);
  /// Leaves no trace of the model: lists that become empty go, the slot is used again.
  void remove(std::uint64_t model_id);

  void search(const Query& query, Donor& donor) const;

  bool contains(std::uint64_t model_id) const { return slot_of_.contains(model_id); }
  std::size_t num_models() const noexcept { return slot_of_.size(); }
  std::size_t num_keys() const noexcept { return postings_.size(); }
  std::size_t num_postings() const noexcept { return num_postings_; }
  /// An estimate of the memory in use.
  std::size_t num_bytes() const noexcept;

 private:
  friend struct DeltaView;
  friend class AllowedInDelta;
  struct Slot {
    Item model;
    std::vector<Entry> layers;
    std::size_t place = 0;  // among the slots of its fingerprint
  };
  using Slots = std::vector<std::uint32_t>;
  struct Posting {
    std::uint64_t bytes = 0;  // the most that the layer takes in a model
    Slots ranked;             // best first
    Slots recent;             // in any order, and few: they are ranked many at a time
  };

  bool is_better(std::uint32_t a, std::uint32_t b) const;
  void rank_recent(Posting& posting);
  void erase(Posting& posting, std::uint32_t slot);

  std::unordered_map<std::uint64_t, Posting> postings_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::unordered_map<std::uint64_t, std::uint32_t> slot_of_;
  std::unordered_map<std::uint64_t, Slots> of_data_;  // by fingerprint, in any order
  std::size_t num_postings_ = 0;
};

}  // namespace parsl_tl
