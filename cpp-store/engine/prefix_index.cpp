#include "prefix_index.hpp"

#include <algorithm>
#include <tuple>

namespace parsl_tl {

void PrefixIndex::add(std::uint64_t model_id, double quality, std::uint64_t sequence,
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
  for (const Entry& layer : layers) slot.keys.push_back(layer.key);
  std::sort(slot.keys.begin(), slot.keys.end());
  slot.keys.erase(std::unique(slot.keys.begin(), slot.keys.end()), slot.keys.end());
  for (const Entry& layer : layers) {
    Posting& posting = postings_[layer.key];
    posting.bytes = std::max(posting.bytes, layer.bytes);
  }
  for (const std::uint64_t key : slot.keys) postings_[key].slots.push_back(index);
  num_postings_ += slot.keys.size();
  slot_of_[model_id] = index;
}

void PrefixIndex::remove(std::uint64_t model_id) {
  const auto found = slot_of_.find(model_id);
  if (found == slot_of_.end()) return;
  const std::uint32_t index = found->second;
  for (const std::uint64_t key : slots_[index].keys) {
    const auto posting = postings_.find(key);
    auto& members = posting->second.slots;
    *std::find(members.begin(), members.end(), index) = members.back();
    members.pop_back();
    if (members.empty()) postings_.erase(posting);
  }
  num_postings_ -= slots_[index].keys.size();
  slots_[index] = {};
  free_slots_.push_back(index);
  slot_of_.erase(found);
}

std::vector<PrefixIndex::Term> PrefixIndex::terms_of(std::span<const std::uint64_t> keys,
                                                     ScoreBy by) const {
  std::vector<std::uint64_t> unique(keys.begin(), keys.end());
  std::sort(unique.begin(), unique.end());
  unique.erase(std::unique(unique.begin(), unique.end()), unique.end());
  std::vector<Term> terms;
  for (const std::uint64_t key : unique) {
    const auto posting = postings_.find(key);
    if (posting == postings_.end()) continue;
    const std::uint64_t weight = by == ScoreBy::kLayers ? 1 : posting->second.bytes;
    terms.push_back({key, weight, &posting->second});
  }
  std::sort(terms.begin(), terms.end(), [](const Term& a, const Term& b) {
    return std::tuple(a.posting->slots.size(), a.key) < std::tuple(b.posting->slots.size(), b.key);
  });
  return terms;
}

std::optional<std::uint64_t> PrefixIndex::best(std::span<const std::uint64_t> keys,
                                               const QueryOptions& options) const {
  const std::vector<Term> terms = terms_of(keys, options.by);
  std::uint64_t bound = 0;  // the most that a model first met in the current list can score
  for (const Term& term : terms) bound += term.weight;

  const Slot* winner = nullptr;
  std::uint64_t winner_score = 0;
  const auto rank = [](std::uint64_t score, const Slot& slot) {
    return std::tuple(score, slot.quality, slot.sequence);
  };
  for (std::size_t first = 0; first < terms.size(); ++first) {
    // On equality the search goes on: such a model could win by its quality.
    if (winner != nullptr && bound < winner_score) break;
    for (const std::uint32_t index : terms[first].posting->slots) {
      const Slot& slot = slots_[index];
      if (options.min_quality && slot.quality < *options.min_quality) continue;
      if (options.exclude.contains(slot.model_id)) continue;
      // A model that an earlier list held was scored in full then; here it can only score less.
      std::uint64_t score = terms[first].weight;
      for (std::size_t i = first + 1; i < terms.size(); ++i) {
        if (std::binary_search(slot.keys.begin(), slot.keys.end(), terms[i].key)) {
          score += terms[i].weight;
        }
      }
      if (winner == nullptr || rank(score, slot) > rank(winner_score, *winner)) {
        winner = &slot;
        winner_score = score;
      }
    }
    bound -= terms[first].weight;
  }
  if (winner == nullptr) return std::nullopt;
  return winner->model_id;
}

}  // namespace parsl_tl
