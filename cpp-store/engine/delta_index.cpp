#include "delta_index.hpp"

#include <algorithm>
#include <limits>
#include <tuple>

namespace parsl_tl {
namespace {

/// Recent models are looked through one by one in every search, so they stay few; they are ranked
/// many at once, so that a model costs no merge of a long list for itself alone.
std::size_t most_recent(std::size_t ranked) { return std::max<std::size_t>(64, ranked / 8); }

}  // namespace

struct DeltaView {
  static constexpr bool kRanked = false;

  const DeltaIndex& index;

  std::uint64_t id(std::uint32_t slot) const { return index.slots_[slot].model.model_id; }
  double quality(std::uint32_t slot) const { return index.slots_[slot].model.quality; }
  std::uint64_t sequence(std::uint32_t slot) const { return index.slots_[slot].model.sequence; }
  bool is_alive(std::uint32_t) const { return true; }
  double max_quality() const { return std::numeric_limits<double>::max(); }
  std::uint64_t score(std::uint32_t slot, const TokenWeights& weights) const {
    std::uint64_t sum = 0;
    for (const auto& layer : index.slots_[slot].layers) sum += weights[layer.key];
    return sum;
  }
  std::uint64_t bytes(std::uint32_t slot, const TokenWeights& weights) const {
    std::uint64_t sum = 0;
    for (const auto& layer : index.slots_[slot].layers) {
      if (weights[layer.key] > 0) sum += layer.bytes;
    }
    return sum;
  }
  bool shares(std::uint32_t slot, const TokenWeights& weights) const {
    const auto& layers = index.slots_[slot].layers;
    return std::any_of(layers.begin(), layers.end(),
                       [&](const auto& layer) { return weights.contains(layer.key); });
  }
};

class AllowedInDelta {
 public:
  AllowedInDelta(const DeltaIndex& index, const IdSet& fingerprints)
      : index_(index), fingerprints_(fingerprints) {
    for (const std::uint64_t fingerprint : fingerprints.values()) {
      const auto found = index.of_data_.find(fingerprint);
      if (found == index.of_data_.end()) continue;
      slots_.emplace_back(found->second);
      size_ += found->second.size();
    }
  }

  bool contains(std::uint32_t slot) const {
    return fingerprints_.contains(index_.slots_[slot].model.fingerprint);
  }
  std::size_t size() const { return size_; }
  void for_each(auto&& visit) const {
    for (const auto& slots : slots_) std::for_each(slots.begin(), slots.end(), visit);
  }

 private:
  const DeltaIndex& index_;
  const IdSet& fingerprints_;
  std::vector<std::span<const std::uint32_t>> slots_;
  std::size_t size_ = 0;
};

bool DeltaIndex::is_better(std::uint32_t a, std::uint32_t b) const {
  return std::tuple(slots_[a].model.quality, slots_[a].model.sequence) >
         std::tuple(slots_[b].model.quality, slots_[b].model.sequence);
}

void DeltaIndex::rank_recent(Posting& posting) {
  const auto better = [this](std::uint32_t a, std::uint32_t b) { return is_better(a, b); };
  const auto middle = static_cast<std::ptrdiff_t>(posting.ranked.size());
  posting.ranked.insert(posting.ranked.end(), posting.recent.begin(), posting.recent.end());
  posting.recent.clear();
  const auto begin = posting.ranked.begin();
  std::sort(begin + middle, posting.ranked.end(), better);
  std::inplace_merge(begin, begin + middle, posting.ranked.end(), better);
}

void DeltaIndex::erase(Posting& posting, std::uint32_t slot) {
  if (std::erase(posting.recent, slot) > 0) return;
  posting.ranked.erase(
      std::lower_bound(posting.ranked.begin(), posting.ranked.end(), slot,
                       [this](std::uint32_t a, std::uint32_t b) { return is_better(a, b); }));
}

void DeltaIndex::add(const Item& model, std::span<const Entry> layers) {
  std::uint32_t index;
  if (free_slots_.empty()) {
    index = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    index = free_slots_.back();
    free_slots_.pop_back();
  }
  Slots& same_data = of_data_[model.fingerprint];
  slots_[index] = {model, {layers.begin(), layers.end()}, same_data.size()};
  same_data.push_back(index);
  for (const Entry& layer : layers) {
    Posting& posting = postings_[layer.key];
    posting.bytes = std::max(posting.bytes, layer.bytes);
    posting.recent.push_back(index);
    if (posting.recent.size() > most_recent(posting.ranked.size())) rank_recent(posting);
  }
  num_postings_ += layers.size();
  slot_of_[model.model_id] = index;
}

void DeltaIndex::remove(std::uint64_t model_id) {
  const auto found = slot_of_.find(model_id);
  if (found == slot_of_.end()) return;
  const std::uint32_t index = found->second;
  for (const Entry& layer : slots_[index].layers) {
    const auto posting = postings_.find(layer.key);
    erase(posting->second, index);
    if (posting->second.ranked.empty() && posting->second.recent.empty()) postings_.erase(posting);
  }
  num_postings_ -= slots_[index].layers.size();
  const auto same_data = of_data_.find(slots_[index].model.fingerprint);
  const std::uint32_t last = same_data->second.back();
  same_data->second[slots_[index].place] = last;
  slots_[last].place = slots_[index].place;
  same_data->second.pop_back();
  if (same_data->second.empty()) of_data_.erase(same_data);
  slots_[index] = {};
  free_slots_.push_back(index);
  slot_of_.erase(found);
}

void DeltaIndex::search(const Query& query, Donor& donor) const {
  std::vector<QueryTerm> terms;
  terms.reserve(query.keys().size());
  for (const Query::Key& key : query.keys()) {
    const auto posting = postings_.find(key.key);
    if (posting == postings_.end()) continue;
    terms.push_back({key.key, query.weight(key, posting->second.bytes), posting->second.ranked,
                     posting->second.recent});
  }
  if (terms.empty()) return;
  const DeltaView view{*this};
  const auto& fingerprints = query.options().fingerprints;
  if (!fingerprints) return parsl_tl::search(view, terms, query, donor);
  const AllowedInDelta allowed(*this, *fingerprints);
  if (allowed.size() > 0) parsl_tl::search(view, terms, query, donor, allowed);
}

std::size_t DeltaIndex::num_bytes() const noexcept {
  // A node of a hash map has a link and, with the allocator's header, 16 more bytes around it.
  constexpr std::size_t kNode = 24;
  return postings_.size() * (sizeof(std::uint64_t) + sizeof(Posting) + kNode) +
         num_postings_ * (sizeof(std::uint32_t) + sizeof(Entry)) +
         slots_.capacity() * (sizeof(Slot) + kNode) +
         slot_of_.size() * (2 * sizeof(std::uint64_t) + sizeof(std::uint32_t) + kNode) +
         of_data_.size() * (sizeof(std::uint64_t) + sizeof(Slots) + kNode);
}

}  // namespace parsl_tl
