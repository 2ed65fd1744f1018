#include "delta_index.hpp"

#include <algorithm>
#include <limits>
#include <tuple>

namespace parsl_tl {

struct DeltaView {
  const DeltaIndex& index;

  std::uint64_t id(std::uint32_t slot) const { return index.slots_[slot].model_id; }
  double quality(std::uint32_t slot) const { return index.slots_[slot].quality; }
  std::uint64_t sequence(std::uint32_t slot) const { return index.slots_[slot].sequence; }
  bool is_alive(std::uint32_t) const { return true; }
  double max_quality() const { return std::numeric_limits<double>::max(); }
  std::uint64_t score(std::uint32_t slot, const TokenWeights& weights) const {
    std::uint64_t sum = 0;
    for (const std::uint64_t key : index.slots_[slot].keys) sum += weights[key];
    return sum;
  }
};

DeltaIndex::Slots::iterator DeltaIndex::place_of(Slots& slots, std::uint32_t slot) {
  const auto rank = [this](std::uint32_t s) {
    return std::tuple(slots_[s].quality, slots_[s].sequence);
  };
  return std::lower_bound(slots.begin(), slots.end(), slot,
                          [&](std::uint32_t a, std::uint32_t b) { return rank(a) > rank(b); });
}

void DeltaIndex::add(std::uint64_t model_id, double quality, std::uint64_t sequence,
                     std::span<const Entry> layers) {
  std::uint32_t index;
  if (free_slots_.empty()) {
    index = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    index = free_slots_.back();
    free_slots_.pop_back();
  }
  Slot& slot = slots_[index];
  slot = {model_id, quality, sequence, {}};
  slot.keys.reserve(layers.size());
  for (const Entry& layer : layers) {
    slot.keys.push_back(layer.key);
    Posting& posting = postings_[layer.key];
    posting.bytes = std::max(posting.bytes, layer.bytes);
    posting.slots.insert(place_of(posting.slots, index), index);
  }
  num_postings_ += slot.keys.size();
  slot_of_[model_id] = index;
}

void DeltaIndex::remove(std::uint64_t model_id) {
  const auto found = slot_of_.find(model_id);
  if (found == slot_of_.end()) return;
  const std::uint32_t index = found->second;
  for (const std::uint64_t key : slots_[index].keys) {
    const auto posting = postings_.find(key);
    Slots& slots = posting->second.slots;
    slots.erase(place_of(slots, index));
    if (slots.empty()) postings_.erase(posting);
  }
  num_postings_ -= slots_[index].keys.size();
  slots_[index] = {};
  free_slots_.push_back(index);
  slot_of_.erase(found);
}

void DeltaIndex::search(const Query& query, Winner& winner) const {
  std::vector<QueryTerm> terms;
  terms.reserve(query.keys().size());
  for (const Query::Key& key : query.keys()) {
    const auto posting = postings_.find(key.key);
    if (posting == postings_.end()) continue;
    terms.push_back({key.key, query.weight(key, posting->second.bytes), posting->second.slots});
  }
  if (!terms.empty()) parsl_tl::search(DeltaView{*this}, terms, query, winner);
}

std::size_t DeltaIndex::num_bytes() const noexcept {
  // A node of a hash map has a link and, with the allocator's header, 16 more bytes around it.
  constexpr std::size_t kNode = 24;
  return postings_.size() * (sizeof(std::uint64_t) + sizeof(Posting) + kNode) +
         num_postings_ * (sizeof(std::uint32_t) + sizeof(std::uint64_t)) +
         slots_.capacity() * (sizeof(Slot) + kNode) + slot_of_.size() * (2 * sizeof(std::uint64_t) + kNode);
}

}  // namespace parsl_tl
