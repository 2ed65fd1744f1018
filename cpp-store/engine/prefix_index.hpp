// The inverted index behind "which stored model shares the longest prefix?": layer key -> models.
//
// The common prefix of two models is the intersection of their key sets, so the query is a top-1
// search over posting lists. It visits the rarest lists first and stops as soon as a model that
// appears in none of the visited lists could no longer win (the bound of MaxScore, H. Turtle and
// J. Flood, "Query evaluation: strategies and optimizations", 1995). Exact, ties included.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace parsl_tl {

enum class ScoreBy { kLayers, kBytes };

struct QueryOptions {
  ScoreBy by = ScoreBy::kLayers;
  std::optional<double> min_quality;
  std::unordered_set<std::uint64_t> exclude;
};

class PrefixIndex {
 public:
  struct Entry {
    std::uint64_t key;
    std::uint64_t bytes;  // size of the layer's tensors
  };

  void add(std::uint64_t model_id, double quality, std::uint64_t sequence,
           std::span<const Entry> layers);
  void remove(std::uint64_t model_id);

  /// The living model with the highest score; ties go to the higher quality, then to the model
  /// that was stored last. Nothing if no model shares a layer. Duplicate keys count once.
  std::optional<std::uint64_t> best(std::span<const std::uint64_t> keys,
                                    const QueryOptions& options) const;

  std::size_t num_models() const noexcept { return slot_of_.size(); }
  std::size_t num_keys() const noexcept { return postings_.size(); }
  std::size_t num_postings() const noexcept { return num_postings_; }

 private:
  struct Slot {
    std::uint64_t model_id = 0;
    double quality = 0.0;
    std::uint64_t sequence = 0;
    std::vector<std::uint64_t> keys;  // sorted
  };
  struct Posting {
    std::uint64_t bytes = 0;
    std::vector<std::uint32_t> slots;  // unordered
  };
  struct Term {
    std::uint64_t key;
    std::uint64_t weight;
    const Posting* posting;
  };

  std::vector<Term> terms_of(std::span<const std::uint64_t> keys, ScoreBy by) const;

  std::unordered_map<std::uint64_t, Posting> postings_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::unordered_map<std::uint64_t, std::uint32_t> slot_of_;
  std::size_t num_postings_ = 0;
};

}  // namespace parsl_tl
