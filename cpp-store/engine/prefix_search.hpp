// The search behind "which stored model shares the longest prefix?", over posting lists.
//
// The common prefix of two models is the intersection of their key sets, so this is a top-1 search
// over the lists of the query's keys. It visits the rarest lists first and stops as soon as a model
// that appears in none of the visited lists could no longer win (the bound of MaxScore, H. Turtle
// and J. Flood, "Query evaluation: strategies and optimizations", 1995). Lists are ordered by
// quality, then by recency: the order in which ties are decided. Within a list, the search
// therefore ends at the first model that scores all that its list allows. Exact, ties included.
//
// A query may allow only models of some data, by its fingerprints. Those of other data are passed
// over in the lists: where many models are allowed, the search ends as early as without. Where few
// are, it would not: after as many looks as those few are worth, it goes through them instead.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>
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

/// Ids that many queries share without a copy for each.
class IdSet {
 public:
  IdSet() = default;
  IdSet(std::unordered_set<std::uint64_t> ids)  // NOLINT: as good as the set itself
      : ids_(std::make_shared<const std::unordered_set<std::uint64_t>>(std::move(ids))) {}

  bool empty() const noexcept { return ids_ == nullptr || ids_->empty(); }
  bool contains(std::uint64_t id) const { return ids_ != nullptr && ids_->contains(id); }
  std::vector<std::uint64_t> values() const {
    if (ids_ == nullptr) return {};
    return {ids_->begin(), ids_->end()};
  }
  void insert(std::uint64_t id) {
    std::unordered_set<std::uint64_t> ids = ids_ ? *ids_ : std::unordered_set<std::uint64_t>();
    ids.insert(id);
    *this = IdSet(std::move(ids));
  }

 private:
  std::shared_ptr<const std::unordered_set<std::uint64_t>> ids_;
};

struct QueryOptions {
  ScoreBy by = ScoreBy::kLayers;
  double quality_rate = 0.0;  // what one unit of quality is worth, in units of the score; >= 0
  std::optional<double> min_quality;
  IdSet exclude;
  std::optional<IdSet> fingerprints;  // of the data of models that may be found; nothing: of any
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
struct Donor {
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

/// From here on a list is walked together with the longer ones.
constexpr std::size_t kLongList = 64;

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
    const Slot* slot = find(token);
    return slot != nullptr ? slot->weight : 0;
  }
  bool contains(std::uint64_t token) const noexcept { return find(token) != nullptr; }

 private:
  struct Slot {
    std::uint64_t token = 0;
    std::uint64_t weight = 0;
    bool used = false;
  };
  const Slot* find(std::uint64_t token) const noexcept {
    for (std::size_t i = place(token); slots_[i].used; i = (i + 1) & mask_) {
      if (slots_[i].token == token) return &slots_[i];
    }
    return nullptr;
  }
  std::size_t place(std::uint64_t token) const noexcept {
    return ((token * 0x9E3779B97F4A7C15U) >> 32) & mask_;
  }
  std::vector<Slot> slots_;
  std::size_t mask_;
};

/// Tells in a walk through one ascending list which of its models may stand in enough of the longer
/// lists to win. Those lists are walked along, in steps that double: a few nanoseconds for each
/// model, where looking at the model itself is a miss of the cache.
class LongListFilter {
 public:
  /// `rest`: the lists behind the walked one. `bound`: the most that a model in all of them scores.
  LongListFilter(std::span<const QueryTerm> rest, std::uint64_t bound)
      : rest_(rest), bound_(bound), places_(rest.size(), 0) {}

  /// `wins(score)` tells whether a model could win that scores so much at most.
  template <typename Wins>
  bool passes(std::uint32_t slot, const Wins& wins) {
    std::uint64_t most = bound_;
    for (std::size_t i = 0; i < rest_.size(); ++i) {
      if (advance(i, slot)) continue;
      most -= rest_[i].weight;
      if (!wins(most)) return false;
    }
    return true;
  }

 private:
  bool advance(std::size_t list, std::uint32_t slot) {
    const std::span<const std::uint32_t> slots = rest_[list].slots;
    std::size_t& place = places_[list];
    std::size_t step = 1;
    std::size_t end = place;
    while (end < slots.size() && slots[end] < slot) {
      place = end + 1;
      end += step;
      step *= 2;
    }
    const auto last = slots.begin() + static_cast<std::ptrdiff_t>(std::min(end, slots.size()));
    const auto found =
        std::lower_bound(slots.begin() + static_cast<std::ptrdiff_t>(place), last, slot);
    place = static_cast<std::size_t>(found - slots.begin());
    return place < slots.size() && slots[place] == slot;
  }

  std::span<const QueryTerm> rest_;
  std::uint64_t bound_;
  std::vector<std::size_t> places_;
};

/// Who may still win, among the models of one index.
///
/// Where slots are ranks (best first) and quality only decides ties, that takes no look at a model:
/// at an equal score, those in front of the donor's place win.
template <typename View>
class Contest {
 public:
  Contest(const View& view, const Query& query, Donor& donor)
      : view_(view), query_(query), donor_(donor) {
    if constexpr (View::kRanked) {
      by_rank_ = query.options().quality_rate == 0.0;
      if (by_rank_) place_ = view.place_of(donor);
      if (query.options().min_quality) end_ = view.num_at_least(*query.options().min_quality);
    }
  }

  /// False if the model, and so every one that ranks lower, is below the least quality.
  bool is_good_enough(std::uint32_t slot) const {
    if constexpr (View::kRanked) return slot < end_;
    const auto& least = query_.options().min_quality;
    return !least || view_.quality(slot) >= *least;
  }
  /// Whether the model would win with such a score.
  bool wins(std::uint32_t slot, std::uint64_t score) const {
    if (!donor_.found) return true;
    if (by_rank_) return score > donor_.score || (score == donor_.score && slot < place_);
    const double quality = view_.quality(slot);
    return donor_.loses_to(query_.total(score, quality), quality, view_.sequence(slot));
  }
  void enter(std::uint32_t slot, std::uint64_t score) {
    if (!wins(slot, score)) return;
    const double quality = view_.quality(slot);
    donor_ = {true, query_.total(score, quality), quality, view_.sequence(slot), view_.id(slot),
              score};
    place_ = slot;
  }

 private:
  const View& view_;
  const Query& query_;
  Donor& donor_;
  bool by_rank_ = false;
  std::uint32_t place_ = 0;
  std::uint32_t end_ = 0xFFFFFFFF;
};

/// Improves `donor` by the models of one index. `View` gives, for a slot: id, quality, sequence,
/// is_alive, score(slot, TokenWeights), bytes(slot, TokenWeights), shares(slot, TokenWeights), and
/// max_quality() over all slots. By bytes, a term's weight is the most that its layer takes in any
/// model. `kRanked` tells that slots are ranks, best first, by which lists are sorted; such a view
/// also gives place_of(donor), the first slot that ranks no higher, and num_at_least(quality).
///
/// `Allowed` tells which models may be found: contains(slot), size(), and for_each(visit).
template <typename View, typename Allowed>
class Search {
 public:
  Search(const View& view, std::vector<QueryTerm>& terms, const Query& query,
         const Allowed& allowed, Donor& donor)
      : view_(view),
        terms_(terms),
        query_(query),
        allowed_(allowed),
        donor_(donor),
        weights_(terms),
        contest_(view, query, donor),
        looks_left_(kLooksForOne * allowed.size()) {
    std::sort(terms.begin(), terms.end(), [](const QueryTerm& a, const QueryTerm& b) {
      return a.size() != b.size() ? a.size() < b.size() : a.token < b.token;
    });
    for (const QueryTerm& term : terms) bound_ += term.weight;
  }

  void run() {
    for (std::size_t i = 0; i < terms_.size(); ++i) {
      const QueryTerm& term = terms_[i];
      // On equality the search goes on: such a model could win by its quality.
      if (donor_.found && query_.total(bound_, view_.max_quality()) < donor_.total) return;
      for (const std::uint32_t slot : term.recent) try_model(slot, nullptr);
      std::optional<LongListFilter> filter;
      if (View::kRanked && donor_.found && term.slots.size() >= kLongList) {
        filter.emplace(std::span(terms_).subspan(i + 1), bound_);
      }
      for (const std::uint32_t slot : term.slots) {
        if (!try_model(slot, filter ? &*filter : nullptr)) break;
        if (looks_left_ == 0) return try_all_allowed();
      }
      bound_ -= term.weight;
    }
  }

 private:
  // What it costs to score a model, in looks at whether one is allowed.
  static constexpr std::size_t kLooksForOne = 16;

  /// False if the model, and so every one that ranks lower, cannot win.
  bool try_model(std::uint32_t slot, LongListFilter* filter) {
    if (!contest_.is_good_enough(slot) || !contest_.wins(slot, bound_)) return false;
    if (!allowed_.contains(slot)) {
      if (looks_left_ > 0) --looks_left_;
      return true;
    }
    const auto wins = [&](std::uint64_t score) { return contest_.wins(slot, score); };
    if (filter == nullptr || filter->passes(slot, wins)) enter(slot);
    return true;
  }
  void try_all_allowed() {
    allowed_.for_each([this](std::uint32_t slot) {
      if (contest_.is_good_enough(slot) && contest_.wins(slot, bound_) &&
          view_.shares(slot, weights_)) {
        enter(slot);
      }
    });
  }
  void enter(std::uint32_t slot) {
    if (!view_.is_alive(slot)) return;
    const QueryOptions& options = query_.options();
    if (!options.exclude.empty() && options.exclude.contains(view_.id(slot))) return;
    // Weights by bytes are bounds: the bytes that count are those of the model itself.
    contest_.enter(slot, options.by == ScoreBy::kBytes ? view_.bytes(slot, weights_)
                                                       : view_.score(slot, weights_));
  }

  const View& view_;
  std::vector<QueryTerm>& terms_;
  const Query& query_;
  const Allowed& allowed_;
  Donor& donor_;
  const TokenWeights weights_;
  Contest<View> contest_;
  std::uint64_t bound_ = 0;  // the most that a model first met in the current list can score
  std::size_t looks_left_;
};

/// All models of an index.
struct AnyModel {
  static constexpr bool contains(std::uint32_t) { return true; }
  static constexpr std::size_t size() { return 1; }
  static void for_each(auto&&) {}
};

template <typename View, typename Allowed = AnyModel>
void search(const View& view, std::vector<QueryTerm>& terms, const Query& query, Donor& donor,
            const Allowed& allowed = {}) {
  Search<View, Allowed>(view, terms, query, allowed, donor).run();
}

}  // namespace parsl_tl
