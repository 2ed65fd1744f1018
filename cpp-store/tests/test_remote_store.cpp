// A store on servers against one in a folder, through random histories: whatever is asked, both say
// the same; also when requests and replies are lost at every step.
#include <arrow/api.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "check.hpp"
#include "cluster.hpp"
#include "layer_name.hpp"
#include "sample_models.hpp"

namespace parsl_tl::testing {
namespace {

/// What a call gave, or how it failed.
template <typename T>
struct Outcome {
  std::optional<ErrorCode> error;
  T value{};
  bool operator==(const Outcome&) const = default;
};

template <typename Call>
auto outcome_of(const Call& call) {
  Outcome<decltype(call())> outcome;
  try {
    outcome.value = call();
  } catch (const StoreException& error) {
    outcome.error = error.code();
  }
  return outcome;
}

template <typename T>
void check_same(const Outcome<T>& a, const Outcome<T>& b, const char* what) {
  if (a == b) return;
  // Which of two reasons to refuse a put is found first is open.
  const auto is_refused = [](const auto& outcome) {
    return outcome.error == ErrorCode::kExists || outcome.error == ErrorCode::kDonorGone;
  };
  if (is_refused(a) && is_refused(b)) return;
  const auto code = [](const auto& error) { return error ? static_cast<int>(*error) : -1; };
  fail(__FILE__, __LINE__,
       std::string(what) + ": " + std::to_string(code(a.error)) + " and " +
           std::to_string(code(b.error)));
}

using Layers = std::vector<std::tuple<std::uint64_t, std::string, std::uint64_t>>;

Layers layers_of(const Model& model) {
  Layers layers;
  for (const LayerRecord& layer : model.layers)
    layers.emplace_back(layer.key, layer.name, layer.owner);
  return layers;
}

void check_bytes(const std::vector<std::span<const std::uint8_t>>& found, std::uint64_t owner,
                 std::uint64_t key) {
  const std::vector<Bytes> expected = sample_tensors(owner, key);
  CHECK_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < std::min(found.size(), expected.size()); ++i) {
    CHECK(std::equal(found[i].begin(), found[i].end(), expected[i].begin(), expected[i].end()));
  }
}

/// Reads some of the model's layers, as views and as copies.
void check_readable(const RemoteModel& model, Random& random) {
  std::vector<std::size_t> places;
  std::vector<std::vector<Bytes>> targets;
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    if (random.chance(0.3)) continue;
    const auto& layer = model.layers[i];
    places.push_back(i);
    targets.emplace_back();
    if (layer.has_weights) targets.back() = sample_tensors(layer.owner, layer.key);
    for (Bytes& target : targets.back()) std::fill(target.begin(), target.end(), 0xEE);
  }
  const ViewedLayers viewed = view_layers(model, places);
  std::vector<LayerMemory> memory;
  for (auto& layer : targets) memory.emplace_back(layer.begin(), layer.end());
  copy_layers(model, places, memory);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto& layer = model.layers[places[i]];
    if (!layer.has_weights) {
      CHECK(viewed.layers[i].empty());
      continue;
    }
    check_bytes(viewed.layers[i], layer.owner, layer.key);
    check_bytes({targets[i].begin(), targets[i].end()}, layer.owner, layer.key);
  }
}

/// A row of the table of models, but for the time.
using Row = std::tuple<std::uint64_t, std::optional<std::uint64_t>, std::optional<std::uint64_t>,
                       double, std::uint32_t, std::uint64_t, std::uint64_t, std::string>;

std::vector<Row> rows_of(const std::shared_ptr<arrow::Table>& table) {
  const auto batch = table->CombineChunksToBatch().ValueOrDie();
  const auto column = [&]<typename Array>(const char* name, Array*) {
    return std::static_pointer_cast<Array>(batch->GetColumnByName(name));
  };
  const auto ids = column("model_id", static_cast<arrow::UInt64Array*>(nullptr));
  const auto parents = column("parent", static_cast<arrow::UInt64Array*>(nullptr));
  const auto donors = column("donor", static_cast<arrow::UInt64Array*>(nullptr));
  const auto qualities = column("quality", static_cast<arrow::DoubleArray*>(nullptr));
  const auto layers = column("num_layers", static_cast<arrow::UInt32Array*>(nullptr));
  const auto owned = column("bytes_owned", static_cast<arrow::UInt64Array*>(nullptr));
  const auto total = column("bytes_total", static_cast<arrow::UInt64Array*>(nullptr));
  const auto attributes = column("attributes", static_cast<arrow::StringArray*>(nullptr));
  const auto optional = [](const auto& array, std::int64_t i) {
    return array->IsNull(i) ? std::nullopt : std::optional(array->Value(i));
  };
  std::vector<Row> rows;
  for (std::int64_t i = 0; i < batch->num_rows(); ++i) {
    rows.emplace_back(ids->Value(i), optional(parents, i), optional(donors, i), qualities->Value(i),
                      layers->Value(i), owned->Value(i), total->Value(i), attributes->GetString(i));
  }
  return rows;
}

/// The same history in both.
class Twins {
 public:
  Twins(std::uint64_t seed, std::uint32_t servers, bool maps_segments)
      : random_(seed),
        cluster_(scratch_ / "spread", servers, {}, seed),
        whole_(scratch_ / "whole", {}) {
    ConnectionOptions options = quick_options();
    options.maps_segments = maps_segments;
    remote_ = cluster_.connect(options);
    reader_ = cluster_.connect(options);
    for (std::size_t i = 0; i < servers; ++i) CHECK_EQ(remote_->is_mapped(i), maps_segments);
  }

  Cluster& cluster() { return cluster_; }

  void step() {
    const std::uint64_t dice = random_.below(100);
    if (dice < 40 || living_.empty()) return put();
    if (dice < 58) return retire();
    if (dice < 70) return search();
    if (dice < 80) return search_many();
    if (dice < 92) return read();
    describe();
  }

  void put() {
    const bool is_used = !used_.empty() && random_.chance(0.05);
    const std::uint64_t id = is_used ? random_.pick(used_) : random_();
    auto model = random_sample_model(id, living_, used_, random_);
    if (!used_.empty() && random_.chance(0.05)) model->request.donor = random_.pick(used_);
    if (model->request.donor == id || model->request.parent == id) return;
    const auto put_in = [&](auto& store) {
      return outcome_of([&] {
        const PutResult result = store.put(model->request);
        return std::tuple(result.bytes_stored, result.layers_stored, result.layers_inherited);
      });
    };
    const auto expected = put_in(whole_);
    check_same(put_in(*remote_), expected, "put");
    if (expected.error) return;
    living_.push_back(id);
    used_.push_back(id);
  }

  void retire() {
    const std::uint64_t id = random_.chance(0.9) ? random_.pick(living_) : any_id();
    const auto expected = outcome_of([&] { return whole_.retire(id); });
    check_same(outcome_of([&] { return remote_->retire(id); }), expected, "retire");
    std::erase(living_, id);
  }

  void search() {
    const std::vector<std::uint64_t> keys = random_query(random_);
    const std::vector<double> weights = weights_of(keys);
    const QueryOptions options = random_options(!weights.empty());
    const auto expected = whole_.find_donor(Query(keys, weights, options));
    const auto found = remote_->find_donor({keys, weights}, options);
    CHECK_EQ(found != nullptr, expected != nullptr);
    if (found == nullptr || expected == nullptr) return;
    CHECK_EQ(found->id, expected->id);
    CHECK_EQ(found->quality, expected->quality);
    check_readable(*found, random_);
    if (!random_.chance(0.3)) return;
    // A match can be read for as long as somebody has it.
    check_same(outcome_of([&] { return remote_->retire(found->id); }),
               outcome_of([&] { return whole_.retire(found->id); }), "retire of a match");
    std::erase(living_, found->id);
    check_readable(*found, random_);
    check_readable(*remote_->pin(found->id), random_);
  }

  void search_many() {
    std::vector<std::vector<std::uint64_t>> keys(random_.below(5));
    std::vector<std::vector<double>> weights;
    const bool weighted = random_.chance(0.3);
    const QueryOptions options = random_options(weighted);
    std::vector<Query> queries;
    std::vector<RemoteQuery> remote_queries;
    for (auto& query : keys) {
      query = random_query(random_);
      weights.emplace_back(weighted ? query.size() : 0, 0.75);
    }
    for (std::size_t i = 0; i < keys.size(); ++i) {
      queries.emplace_back(keys[i], weights[i], options);
      remote_queries.push_back({keys[i], weights[i]});
    }
    const auto expected = whole_.find_donors(queries, 1);
    std::vector<double> scores;
    const auto found = remote_->find_donors(remote_queries, options, scores);
    CHECK_EQ(found.size(), expected.size());
    CHECK_EQ(scores.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CHECK_EQ(found[i].found, expected[i].found);
      if (!expected[i].found) continue;
      CHECK_EQ(found[i].model_id, expected[i].model_id);
      CHECK_EQ(found[i].total, expected[i].total);
      CHECK_EQ(found[i].quality, expected[i].quality);
      CHECK_EQ(scores[i], queries[i].score(expected[i].score));
    }
  }

  void read() {
    const std::uint64_t id = random_.chance(0.9) ? random_.pick(living_) : any_id();
    for (RemoteStore* store : {remote_.get(), reader_.get()}) {
      const auto found = outcome_of([&] { return store->pin(id); });
      const auto expected = outcome_of([&] { return whole_.model(id); });
      CHECK_EQ(found.error == std::nullopt, expected.error == std::nullopt);
      if (found.error || expected.error) continue;
      Layers layers;
      for (const auto& layer : found.value->layers)
        layers.emplace_back(layer.key, layer.name, layer.owner);
      CHECK(layers == layers_of(expected.value));
      check_readable(*found.value, random_);
      if (random_.chance(0.5)) held_.push_back(found.value);
    }
    if (held_.size() > 20) held_.clear();
  }

  void describe() {
    const std::uint64_t id = any_id();
    const auto facts = [&](auto& store) {
      return outcome_of([&] {
        const Model model = store.model(id);
        return std::tuple(model.quality, model.parent, model.donor, model.fingerprint,
                          model.bytes_owned, model.bytes_total, model.attributes, layers_of(model));
      });
    };
    check_same(facts(*reader_), facts(whole_), "model");
    check_same(outcome_of([&] { return reader_->architecture(id); }),
               outcome_of([&] { return whole_.architecture(id); }), "architecture");
    check_same(outcome_of([&] { return reader_->ancestors(id); }),
               outcome_of([&] { return whole_.ancestors(id); }), "ancestors");
    check_same(outcome_of([&] { return reader_->descendants(id); }),
               outcome_of([&] { return whole_.descendants(id); }), "descendants");
    CHECK_EQ(reader_->contains(id), whole_.contains(id));
    for (std::uint64_t layer = 0; layer < kSampleLayers; ++layer) {
      const std::uint64_t key = layer_key(sample_hash(layer, 0), 0);
      CHECK_EQ(reader_->reference_count(id, key), whole_.reference_count(id, key));
    }
    if (random_.chance(0.3)) compare_tables();
    if (random_.chance(0.3)) maintain();
  }

  void maintain() {
    if (random_.chance(0.5)) return remote_->fold();
    remote_->compact();
    whole_.compact();
  }

  void compare_tables() {
    const auto table = whole_.models();
    auto expected = rows_of(arrow::Table::FromRecordBatches({table}).ValueOrDie());
    auto found = rows_of(reader_->models());
    if (cluster_.size() > 1) {
      std::sort(expected.begin(), expected.end());
      std::sort(found.begin(), found.end());
    }
    CHECK(found == expected);
  }

  /// At the end, without failures.
  void compare() {
    compare_tables();
    CHECK_EQ(remote_->num_models(), whole_.num_models());
    auto found = remote_->stats();
    auto expected = whole_.stats();
    CHECK_EQ(found["models"], expected["models"]);
    CHECK_EQ(found["bytes_live"], expected["bytes_live"]);
    const VerifyReport report = remote_->verify();
    CHECK_EQ(report.problems.size(), 0U);
    CHECK_EQ(report.models, whole_.num_models());
    cluster_.verify();
    for (const std::uint64_t id : used_) {
      for (std::uint64_t layer = 0; layer < kSampleLayers; ++layer) {
        const std::uint64_t key = layer_key(sample_hash(layer, 1), 0);
        CHECK_EQ(remote_->reference_count(id, key), whole_.reference_count(id, key));
      }
    }
    for (const auto& model : held_) check_readable(*model, random_);
    // With the last model nothing is left, not even a hold.
    while (!living_.empty()) retire();
    found = remote_->stats();
    CHECK_EQ(found["bytes_live"], 0U);
    CHECK_EQ(found["bytes_segments"], 0U);
    for (std::size_t i = 0; i < cluster_.size(); ++i) {
      CHECK_EQ(cluster_.engine(i).holds().size(), 0U);
    }
    cluster_.verify();
  }

  void disturb() {
    cluster_.disturb(random_);
    // A server that was started anew keeps nothing for its clients.
    held_.clear();
  }

  Random& random() { return random_; }

 private:
  std::uint64_t any_id() {
    return used_.empty() || random_.chance(0.1) ? random_() : random_.pick(used_);
  }

  std::vector<double> weights_of(const std::vector<std::uint64_t>& keys) {
    std::vector<double> weights;
    if (keys.empty() || random_.chance(0.7)) return weights;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      weights.push_back(static_cast<double>(random_.below(5)) / 4);
    }
    return weights;
  }

  QueryOptions random_options(bool weighted) {
    QueryOptions options;
    options.by = weighted              ? ScoreBy::kWeights
                 : random_.chance(0.5) ? ScoreBy::kLayers
                                       : ScoreBy::kBytes;
    if (random_.chance(0.3)) options.quality_rate = 0.5;
    if (random_.chance(0.3)) options.min_quality = 1.0;
    if (random_.chance(0.3)) options.fingerprints = IdSet({random_.below(3), random_.below(5)});
    while (!used_.empty() && random_.chance(0.3)) options.exclude.insert(random_.pick(used_));
    return options;
  }

  Random random_;
  Scratch scratch_;
  Cluster cluster_;
  Engine whole_;
  std::unique_ptr<RemoteStore> remote_, reader_;
  std::vector<std::uint64_t> living_, used_;
  std::vector<std::shared_ptr<RemoteModel>> held_;
};

void run_history(std::uint64_t seed, std::uint32_t servers, bool maps_segments, double failures) {
  Twins twins(seed, servers, maps_segments);
  twins.cluster().failures().at_random(failures);
  for (int step = 0; step < 250; ++step) {
    twins.step();
    if (failures == 0.0 && twins.random().chance(0.05)) twins.disturb();
  }
  twins.cluster().failures().stop();
  twins.compare();
}

CASE(remote_store_on_one_server) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    run_history(seed, 1, false, 0.0);
    run_history(seed, 1, true, 0.0);
  }
}

CASE(remote_store_on_three_servers) {
  for (std::uint64_t seed = 11; seed <= 16; ++seed) {
    run_history(seed, 3, false, 0.0);
    run_history(seed, 3, true, 0.0);
  }
}

CASE(remote_store_whose_calls_fail) {
  for (std::uint64_t seed = 21; seed <= 24; ++seed) {
    run_history(seed, 1, seed % 2 == 0, 0.2);
    run_history(seed, 3, seed % 2 == 0, 0.2);
  }
}

}  // namespace
}  // namespace parsl_tl::testing
