// The search against looking at every model: in the delta, in the snapshot, and in both.
#include <cmath>
#include <limits>

#include "check.hpp"
#include "history.hpp"
#include "prefix_search.hpp"
#include "scratch.hpp"
#include "snapshot_writer.hpp"

namespace parsl_tl::testing {
namespace {

Query random_query(History& history, const Catalog& catalog) {
  Random& random = history.random();
  const std::vector<std::uint64_t> keys = history.query_keys();
  std::vector<double> weights;
  QueryOptions options;
  options.by = static_cast<ScoreBy>(random.below(3));
  if (options.by == ScoreBy::kWeights) {
    for (std::size_t i = 0; i < keys.size(); ++i) {
      weights.push_back(static_cast<double>(random.below(5)) / 3.0);
    }
  }
  const double rates[] = {0.0, 0.0, 0.1, 3.0, 100.0};
  options.quality_rate = rates[random.below(5)];
  if (random.chance(0.3)) options.min_quality = static_cast<double>(random.below(6)) / 4.0 - 0.5;
  if (random.chance(0.6)) {
    std::unordered_set<std::uint64_t> allowed;
    while (random.chance(0.6)) allowed.insert(history.random_fingerprint());
    if (random.chance(0.2)) allowed.insert(random());  // which no model has
    options.fingerprints = IdSet(std::move(allowed));
  }
  while (random.chance(0.5)) {
    const Donor donor = catalog.best(Query(keys, weights, options));
    if (!donor.found) break;
    options.exclude.insert(donor.model_id);
  }
  return Query(keys, weights, options);
}

void check_query(const History& history, const Catalog& catalog, const Query& query) {
  const Donor expected = brute_force(catalog, history, query);
  const Donor donor = catalog.best(query);
  CHECK_EQ(donor.found, expected.found);
  CHECK_EQ(donor.model_id, expected.model_id);
  CHECK_EQ(donor.score, expected.score);
  CHECK_EQ(donor.total, expected.total);
  CHECK_EQ(donor.quality, expected.quality);
  CHECK_EQ(donor.sequence, expected.sequence);
}

void check_queries(History& history, const Catalog& catalog, int count) {
  for (int i = 0; i < count; ++i) {
    check_query(history, catalog, random_query(history, catalog));
  }
}

Catalog folded(const Catalog& catalog, const Scratch& scratch) {
  const std::atomic<bool> stop{false};
  write_snapshot(catalog, {1, 16}, scratch.path(), scratch / "snapshot", stop);
  return Catalog(Snapshot::open(scratch / "snapshot", 1));
}

CASE(prefix_search_is_exact) {
  const Scratch scratch;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    History history({.seed = seed, .num_layers = 5 + 10 * seed});
    Catalog catalog;
    check_queries(history, catalog, 5);
    for (std::uint64_t step = 0; step < 60; ++step) {  // the delta alone
      apply(catalog, history.next(catalog), 16 + 8 * step);
      if (step % 10 == 9) check_queries(history, catalog, 20);
    }
    for (int fold = 0; fold < 3; ++fold) {
      catalog = folded(catalog, scratch);  // the snapshot alone
      check_queries(history, catalog, 40);
      for (std::uint64_t step = 0; step < 40; ++step) {  // both, and some of the snapshot retired
        apply(catalog, history.next(catalog), 16 + 8 * step);
        if (step % 8 == 7) check_queries(history, catalog, 20);
      }
    }
  }
}

/// So few models are allowed among so many that the search leaves the lists and looks at them
/// alone.
CASE(prefix_search_for_rare_data) {
  const Scratch scratch;
  History history({.seed = 60, .num_layers = 12, .retire = 0.05});
  Catalog catalog;
  for (std::uint64_t step = 0; step < 500; ++step) {
    std::vector<Record> records = history.next(catalog);
    for (Record& record : records) record.fingerprint = 1 + (step % 100 == 50 ? step : 0);
    apply(catalog, records, 16 + 8 * step);
  }
  Catalog snapshot = folded(catalog, scratch);
  for (const Catalog* state : {&catalog, &snapshot}) {
    for (int i = 0; i < 300; ++i) {
      QueryOptions options;
      options.by = static_cast<ScoreBy>(history.random().below(2));
      options.fingerprints = IdSet({51 + 100 * history.random().below(6)});
      if (history.random().chance(0.5)) options.quality_rate = 1.0;
      const Query query(history.query_keys(), {}, options);
      check_query(history, *state, query);
    }
  }
}

CASE(prefix_search_after_everything_was_retired) {
  const Scratch scratch;
  History history({.seed = 50, .retire = 0.0, .depart = 0.0});
  Catalog catalog;
  for (int i = 0; i < 30; ++i) apply(catalog, history.next(catalog), 16);
  catalog = folded(catalog, scratch);
  for (int i = 0; i < 30; ++i) apply(catalog, history.next(catalog), 16);
  std::vector<std::uint64_t> ids;
  catalog.for_each_model(false, [&](const Model& model) { ids.push_back(model.id); });
  for (const std::uint64_t id : ids) {
    Record record;
    record.operation = Operation::kRetire;
    record.model_id = id;
    apply(catalog, {record}, 16);
    check_queries(history, catalog, 3);
  }
  CHECK_EQ(catalog.num_models(), 0U);
  CHECK(!catalog.best(Query(history.query_keys(), {}, {})).found);
  catalog = folded(catalog, scratch);
  CHECK(!catalog.best(Query(history.query_keys(), {}, {})).found);
}

CASE(query_refuses) {
  const std::vector<std::uint64_t> keys{1, 2};
  const auto refused = [&](std::vector<double> weights, QueryOptions options) {
    CHECK_THROWS(Query(keys, weights, options), ErrorCode::kInvalidValue);
  };
  const double nan = std::nan("");
  refused({1.0, 2.0}, {});
  for (const auto& weights :
       std::vector<std::vector<double>>{{}, {1.0}, {1.0, -1.0}, {1.0, nan}, {1.0, 1e7}}) {
    QueryOptions options;
    options.by = ScoreBy::kWeights;
    refused(weights, options);
  }
  for (const double rate : {-1.0, nan, std::numeric_limits<double>::infinity()}) {
    QueryOptions options;
    options.quality_rate = rate;
    refused({}, options);
  }
  QueryOptions options;
  options.min_quality = nan;
  refused({}, options);
  CHECK_EQ(Query(std::vector<std::uint64_t>{3, 1, 3, 2}, {}, {}).keys().size(), 3U);
}

}  // namespace
}  // namespace parsl_tl::testing
