// The search behind "which stored model shares the longest prefix?", over posting lists.
//
// The common prefix of two models is the intersection of their key sets, so this is a top-1 search
// over the lists of the query's keys. It visits the rarest lists first and stops as soon as a model
// that appears in none of the visited lists could no longer win (the bound of MaxScore, H. Turtle
// and J. Flood, "Query evaluation: strategies and optimizations", 1995). Lists are ordered by
// quality, then by recency: the order in which ties are decided. Within a list, the search therefore
// ends at the first model that scores all that its list allows. Exact, ties included.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_set>
#include <vector>

namespace parsl_tl {

enum class ScoreBy {
  kLayers,   // number of common layers
  kBytes,    // bytes of their weights
  kWeights,  // the query's own weight for each of its layers
};

struct QueryOptions {
  ScoreBy by = ScoreBy::kLayers;
  double quality_rate = 0.0;  // what one unit of quality is worth, in units of the score; >= 0
  std::optional<double> min_quality;
  std::unordered_set<std::uint64_t> exclude;
};

/// What is asked for: distinct keys, ascending, each with its weight (kWeights only).
///
/// Weights are rounded to multiples of 2^-16, so that sums are exact in whatever order they are
/// taken, and equal prefixes score equally.
class Query {
 public:
  /// `weights` is empty, or has one finite weight from 0 to 10^6 for each key. Throws
  /// StoreException(kInvalidValue) otherwise.
  Query(std::span<const std::uint64_t> keys, std::span<const double> weights, QueryOptions options);

  struct Key {
    std::uint64_t key;
    std::uint64_t weight;
  };
  const std::vector<Key>& keys() const noexcept { return keys_; }
  const QueryOptions& options() const noexcept { return options_; }
  std::uint64_t weight(const Key& key, std::uint64_t bytes) const noexcept {
    return options_.by == ScoreBy::kBytes ? bytes : key.weight;
  }
  double total(std::uint64_t score, double quality) const noexcept {
    return static_cast<double>(score) * unit_ + options_.quality_rate * quality;
  }
  /// The prefix's own part of a total, in the caller's unit.
  double score(std::uint64_t score) const noexcept { return static_cast<double>(score) * unit_; }

 private:
  std::vector<Key> keys_;
  QueryOptions options_;
  double unit_ = 1.0;
};

/// The best model so far; several indices may contribute.
struct Winner {
  bool found = false;
  double total = 0.0;
  double quality = 0.0;
  std::uint64_t sequence = 0;
  std::uint64_t model_id = 0;
  std::uint64_t score = 0;

  bool loses_to(double other_total, double other_quality, std::uint64_t other_sequence) const {
    if (!found) return true;
    if (other_total != total) return other_total > total;
    if (other_quality != quality) return other_quality > quality;
    return other_sequence > sequence;
  }
};

/// A key of the query that an index knows.
struct QueryTerm {
  std::uint64_t token;  // how the index names the key in a model's list of keys
  std::uint64_t weight;
  std::span<const std::uint32_t> slots;   // models that hold it, best first
  std::span<const std::uint32_t> recent;  // more of them, in any order

  std::size_t size() const noexcept { return slots.size() + recent.size(); }
};

/// Token -> weight for the few tokens of one query: open addressing, all in the first-level cache.
class TokenWeights {
 public:
  explicit TokenWeights(std::span<const QueryTerm> terms)
      : slots_(std::bit_ceil(2 * terms.size() + 2)), mask_(slots_.size() - 1) {
    for (const QueryTerm& term : terms) {
      std::size_t i = place(term.token);
      while (slots_[i].used) i = (i + 1) & mask_;
      slots_[i] = {term.token, term.weight, true};
    }
  }
  std::uint64_t operator[](std::uint64_t token) const noexcept {
    for (std::size_t i = place(token); slots_[i].used; i = (i + 1) & mask_) {
      if (slots_[i].token == token) return slots_[i].weight;
    }
    return 0;
  }

 private:
  struct Slot {
    std::uint64_t token = 0;
    std::uint64_t weight = 0;
    bool used = false;
  };
  std::size_t place(std::uint64_t token) const noexcept {
    return ((token * 0x9E3779B97F4A7C15U) >> 32) & mask_;
  }
  std::vector<Slot> slots_;
  std::size_t mask_;
};

/// Improves `winner` by the models of one index. `View` gives, for a slot: id, quality, sequence,
/// is_alive, score(slot, TokenWeights), and max_quality() over all slots.
template <typename View>
void search(const View& view, std::vector<QueryTerm>& terms, const Query& query, Winner& winner) {
  std::sort(terms.begin(), terms.end(), [](const QueryTerm& a, const QueryTerm& b) {
    return a.size() != b.size() ? a.size() < b.size() : a.token < b.token;
  });
  const QueryOptions& options = query.options();
  const TokenWeights weights(terms);
  std::uint64_t bound = 0;  // the most that a model first met in the current list can score
  for (const QueryTerm& term : terms) bound += term.weight;
  // False if the model, and so every one that ranks lower, cannot win.
  const auto try_model = [&](std::uint32_t slot) {
    const double quality = view.quality(slot);
    if (options.min_quality && quality < *options.min_quality) return false;
    const std::uint64_t sequence = view.sequence(slot);
    if (!winner.loses_to(query.total(bound, quality), quality, sequence)) return false;
    if (!view.is_alive(slot)) return true;
    if (!options.exclude.empty() && options.exclude.contains(view.id(slot))) return true;
    const std::uint64_t score = view.score(slot, weights);
    const double total = query.total(score, quality);
    if (winner.loses_to(total, quality, sequence)) {
      winner = {true, total, quality, sequence, view.id(slot), score};
    }
    return true;
  };
  for (const QueryTerm& term : terms) {
    // On equality the search goes on: such a model could win by its quality.
    if (winner.found && query.total(bound, view.max_quality()) < winner.total) return;
    for (const std::uint32_t slot : term.recent) try_model(slot);
    for (const std::uint32_t slot : term.slots) {
      if (!try_model(slot)) break;
    }
    bound -= term.weight;
  }
}

}  // namespace parsl_tl
