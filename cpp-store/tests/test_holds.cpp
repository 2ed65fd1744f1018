// A store spread over several folders against one in a single folder, through random histories: the
// same models, the same references, the same bytes freed, the same donors.
#include <arrow/record_batch.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>

#include "check.hpp"
#include "engine.hpp"
#include "layer_name.hpp"
#include "random.hpp"
#include "reading.hpp"
#include "scratch.hpp"
#include "store_ids.hpp"

namespace parsl_tl::testing {
namespace {

constexpr std::uint32_t kServers = 3;
constexpr std::uint64_t kLayers = 12;

std::uint64_t hash_of(std::uint64_t layer) { return 0x9E3779B97F4A7C15U * (layer + 1); }

/// What a client of a store of several servers does.
class Spread {
 public:
  explicit Spread(const Scratch& scratch) : scratch_(scratch) {
    for (std::uint32_t i = 0; i < kServers; ++i) {
      folders_.push_back(scratch / ("server" + std::to_string(i)));
      engines_.push_back(std::make_unique<Engine>(folders_[i], EngineOptions{}));
      stores_.push_back(engines_[i]->store());
    }
    for (std::uint32_t i = 0; i < kServers; ++i) engines_[i]->join(stores_, i);
  }

  Engine& home(std::uint64_t id) { return *engines_[id % kServers]; }
  Engine& server(std::size_t i) { return *engines_[i]; }

  void put(PutRequest request) {
    request.inherited.emplace();
    std::map<std::uint32_t, HoldRequest> holds;
    if (request.donor) {
      const Model donor = home(*request.donor).model(*request.donor);
      for (std::uint32_t i = 0; i < request.layer_keys.size(); ++i) {
        const auto own = [&](const TensorArgument& tensor) { return tensor.layer == i; };
        if (std::any_of(request.tensors.begin(), request.tensors.end(), own)) continue;
        for (const LayerRecord& layer : donor.layers) {
          if (layer.key != request.layer_keys[i] || !layer.has_weights) continue;
          request.inherited->push_back({i, layer.owner, layer.bytes});
          const auto at = static_cast<std::uint32_t>(layer.owner % kServers);
          if (at == request.model_id % kServers) continue;
          holds[at].layer_keys.push_back(layer.key);
          holds[at].layer_names.push_back(layer.name);
          holds[at].owners.push_back(layer.owner);
        }
      }
    }
    for (auto& [at, hold] : holds) {
      hold.model_id = request.model_id;
      hold.attempt = ++attempts_;
      hold.home = stores_[request.model_id % kServers];
      CHECK(engines_[at]->hold(hold).taken);
      CHECK(engines_[at]->hold(hold).taken);  // a second time changes nothing
      if (attempts_ % 3 != 0) continue;
      // It came to nothing, and another attempt takes its place.
      HoldRequest later = hold;
      later.attempt = ++attempts_;
      CHECK_EQ(engines_[at]->hold(later).attempt, hold.attempt);
      later.replaces = hold.attempt;
      CHECK(engines_[at]->hold(later).taken);
    }
    home(request.model_id).put(request);
  }

  std::uint64_t retire(std::uint64_t id) {
    std::uint64_t freed = home(id).retire(id);
    for (std::uint32_t i = 0; i < kServers; ++i) {
      if (i != id % kServers) freed += engines_[i]->release(id, 0, stores_[id % kServers]);
    }
    return freed;
  }

  Donor best(const std::vector<Query>& query) {
    Donor best;
    for (auto& engine : engines_) {
      Donor donor = engine->find_donors(query, 1).front();
      if (!donor.found) continue;
      // Sequences are a server's own: the time of storing decides between servers.
      donor.sequence = static_cast<std::uint64_t>(engine->model(donor.model_id).created_ns);
      if (best.loses_to(donor.total, donor.quality, donor.sequence)) best = donor;
    }
    return best;
  }

  void disturb(Random& random) {
    const std::uint64_t i = random.below(kServers);
    if (random.chance(0.4)) return engines_[i]->fold();
    if (random.chance(0.4)) return static_cast<void>(engines_[i]->compact());
    engines_[i].reset();
    engines_[i] = std::make_unique<Engine>(folders_[i], EngineOptions{});
    CHECK_EQ(engines_[i]->membership().index, i);
    CHECK_EQ(engines_[i]->take_warnings().size(), 0U);
  }

  std::map<std::string, std::uint64_t> sums() {
    std::map<std::string, std::uint64_t> sums;
    for (auto& engine : engines_) {
      for (const auto& [name, value] : engine->stats()) sums[name] += value;
    }
    return sums;
  }

 private:
  const Scratch& scratch_;
  std::vector<std::string> folders_;
  StoreIds stores_;
  std::uint64_t attempts_ = 0;
  std::vector<std::unique_ptr<Engine>> engines_;
};

PutRequest random_model(std::uint64_t id, const std::vector<std::uint64_t>& living, Random& random,
                        const std::vector<std::uint8_t>& bytes) {
  PutRequest request;
  request.model_id = id;
  request.quality = static_cast<double>(random.below(3));
  request.attributes = "{}";
  const std::uint64_t layers = 1 + random.below(kLayers);
  for (std::uint64_t i = 0; i < layers; ++i) {
    request.layer_keys.push_back(layer_key(hash_of(i), 0));
    request.layer_names.push_back(format_layer_name("Dense", hash_of(i), 0));
  }
  if (!living.empty() && random.chance(0.8)) request.donor = random.pick(living);
  for (std::uint32_t i = 0; i < layers; ++i) {
    if (request.donor && random.chance(0.6)) continue;
    request.tensors.push_back({i, "uint8", {8}, std::span(bytes).first(8)});
  }
  return request;
}

void compare(Spread& spread, Engine& whole, const std::vector<std::uint64_t>& ever) {
  for (const std::uint64_t id : ever) {
    for (std::uint64_t layer = 0; layer < kLayers; ++layer) {
      const std::uint64_t key = layer_key(hash_of(layer), 0);
      CHECK_EQ(spread.home(id).reference_count(id, key), whole.reference_count(id, key));
    }
    CHECK_EQ(spread.home(id).contains(id), whole.contains(id));
  }
  auto sums = spread.sums();
  CHECK_EQ(sums["models"], whole.stats()["models"]);
  CHECK_EQ(sums["bytes_live"], whole.stats()["bytes_live"]);
  for (std::size_t i = 0; i < kServers; ++i) {
    const VerifyReport report = spread.server(i).verify();
    for (const std::string& problem : report.problems) CHECK_EQ(problem, "");
  }
}

CASE(a_spread_store_is_as_one_in_a_single_folder) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    const Scratch scratch;
    Random random(seed);
    const std::vector<std::uint8_t> bytes = random.bytes(8);
    Spread spread(scratch);
    Engine whole(scratch / "whole", {});
    std::vector<std::uint64_t> living, ever;
    for (int step = 0; step < 120; ++step) {
      if (living.empty() || random.chance(0.6)) {
        const std::uint64_t id = random();
        const PutRequest request = random_model(id, living, random, bytes);
        whole.put(request);
        spread.put(request);
        living.push_back(id);
        ever.push_back(id);
      } else {
        const auto place = static_cast<std::ptrdiff_t>(random.below(living.size()));
        const std::uint64_t id = living[static_cast<std::size_t>(place)];
        living.erase(living.begin() + place);
        CHECK_EQ(spread.retire(id), whole.retire(id));
      }
      if (random.chance(0.1)) spread.disturb(random);
      std::vector<std::uint64_t> keys;
      for (std::uint64_t i = 0; i < kLayers; ++i) {
        if (random.chance(0.5)) keys.push_back(layer_key(hash_of(i), 0));
      }
      std::sort(keys.begin(), keys.end());
      const ScoreBy by = random.chance(0.5) ? ScoreBy::kLayers : ScoreBy::kBytes;
      const std::vector<Query> query{Query(keys, {}, {by, 0.0, {}, {}, {}})};
      const Donor expected = whole.find_donors(query, 1).front();
      const Donor found = spread.best(query);
      CHECK_EQ(found.found, expected.found);
      if (expected.found) CHECK_EQ(found.model_id, expected.model_id);
    }
    compare(spread, whole, ever);
  }
}

struct TwoStores {
  explicit TwoStores(const Scratch& scratch)
      : first(scratch / "first", {}), second(scratch / "second", {}) {
    first.join(stores(), 0);
    second.join(stores(), 1);
    PutRequest owner;
    owner.model_id = 2;
    owner.layer_keys = {layer_key(hash_of(0), 0)};
    owner.layer_names = {format_layer_name("Dense", hash_of(0), 0)};
    owner.tensors = {{0, "uint8", {8}, std::span(bytes)}};
    first.put(owner);
    heir = owner;
    heir.model_id = 3;
    heir.donor = 2;
    heir.tensors.clear();
    heir.inherited = {{0, 2, 8}};
    hold = {3, owner.layer_keys, owner.layer_names, {2}, 1, second.store()};
  }
  StoreIds stores() const { return {first.store(), second.store()}; }
  std::uint64_t release(std::uint64_t attempt = 0) {
    return first.release(3, attempt, second.store());
  }
  std::vector<std::uint8_t> bytes = std::vector<std::uint8_t>(8, 7);
  Engine first, second;
  PutRequest heir;
  HoldRequest hold;
};

CASE(a_hold_keeps_layers_and_is_no_model) {
  const Scratch scratch;
  TwoStores pair(scratch);
  pair.first.hold(pair.hold);
  pair.second.put(pair.heir);
  CHECK_EQ(pair.first.retire(2), 0U);
  CHECK_EQ(pair.first.num_models(), 0U);
  CHECK_EQ(pair.first.models()->num_rows(), 0);
  CHECK(!pair.first.contains(3));
  // Read from where the layer is, under the id of the model that holds it.
  const auto pinned = pair.first.pin(3);
  const std::size_t place = 0;
  CHECK_EQ(static_cast<int>(view_layers(*pinned, {&place, 1}).at(0).at(0)[0]), 7);
  const auto elsewhere = pair.second.pin(3);
  CHECK(elsewhere->layers.at(0).is_elsewhere);
  CHECK_THROWS(view_layers(*elsewhere, {&place, 1}), ErrorCode::kInvalidValue);
  CHECK_EQ(pair.second.retire(3), 0U);
  CHECK_EQ(pair.release(2), 0U);  // another attempt's
  CHECK_EQ(pair.first.holds().size(), 1U);
  CHECK_EQ(pair.release(1), 8U);
  CHECK_EQ(pair.release(1), 0U);
}

CASE(a_hold_can_be_taken_again_after_a_release) {
  const Scratch scratch;
  TwoStores pair(scratch);
  for (int i = 0; i < 6; ++i) {
    pair.first.hold(pair.hold);
    CHECK_EQ(pair.first.reference_count(2, pair.hold.layer_keys[0]), 2U);
    if (i % 3 == 1) pair.first.fold();
    CHECK_EQ(pair.first.holds().size(), 1U);
    CHECK_EQ(pair.release(), 0U);
    if (i % 3 == 2) pair.first.fold();
    CHECK_EQ(pair.first.holds().size(), 0U);
  }
}

CASE(what_does_not_belong_here_is_refused) {
  const Scratch scratch;
  TwoStores pair(scratch);
  CHECK_THROWS(pair.first.put(pair.heir), ErrorCode::kInvalidValue);
  CHECK_THROWS(pair.first.join({pair.second.store(), pair.first.store()}, 1),
               ErrorCode::kInvalidValue);
  CHECK_THROWS(pair.first.join({pair.first.store(), made_up_store(1)}, 0), ErrorCode::kWrongStore);
  CHECK_THROWS(pair.first.join(pair.stores(), 1), ErrorCode::kWrongStore);
  CHECK_THROWS(pair.second.hold(pair.hold), ErrorCode::kInvalidValue);
  CHECK_THROWS(pair.second.release(3, 0, pair.second.store()), ErrorCode::kInvalidValue);
  CHECK_THROWS(pair.first.release(3, 0, made_up_store(1)), ErrorCode::kWrongStore);
  HoldRequest stranger = pair.hold;
  stranger.home = made_up_store(1);
  CHECK_THROWS(pair.first.hold(stranger), ErrorCode::kWrongStore);
  CHECK_THROWS(pair.first.retire(3), ErrorCode::kInvalidValue);
  HoldRequest unknown = pair.hold;
  unknown.owners = {4};
  CHECK_THROWS(pair.first.hold(unknown), ErrorCode::kDonorGone);
  pair.first.hold(pair.hold);
  pair.second.put(pair.heir);
  CHECK_THROWS(pair.second.put(pair.heir), ErrorCode::kExists);
  pair.second.join(pair.stores(), 1);  // as it is
}

/// Two layers, of which an earlier attempt holds one and a later one the other; the owner is gone.
CASE(a_hold_takes_the_place_of_an_earlier_one) {
  for (const bool folded : {false, true}) {
    const Scratch scratch;
    TwoStores pair(scratch);
    PutRequest owner;
    owner.model_id = 4;
    for (const std::uint64_t layer : {0, 1}) {
      owner.layer_keys.push_back(layer_key(hash_of(layer), 0));
      owner.layer_names.push_back(format_layer_name("Dense", hash_of(layer), 0));
      owner.tensors.push_back({static_cast<std::uint32_t>(layer), "uint8", {8}, pair.bytes});
    }
    pair.first.put(owner);
    HoldRequest both{3, owner.layer_keys, owner.layer_names, {4, 4}, 1, pair.second.store()};
    CHECK(pair.first.hold(both).taken);
    pair.first.retire(4);
    if (folded) pair.first.fold();
    const auto before = pair.first.pin(3);
    HoldRequest one{3, {owner.layer_keys[1]}, {owner.layer_names[1]}, {4}, 2, pair.second.store()};
    CHECK(!pair.first.hold(one).taken);
    one.replaces = 1;
    CHECK(pair.first.hold(one).taken);
    CHECK_EQ(pair.first.reference_count(4, owner.layer_keys[0]), 0U);
    CHECK_EQ(pair.first.reference_count(4, owner.layer_keys[1]), 1U);
    CHECK_EQ(pair.first.holds().size(), 1U);
    CHECK_EQ(pair.first.holds().at(0).attempt, 2U);
    CHECK(pair.first.holds().at(0).home == pair.second.store());
    CHECK_EQ(pair.first.pin(3)->layers.size(), 1U);
    CHECK_EQ(before->layers.size(), 2U);
    // A message of the earlier attempt that comes late.
    both.replaces = 0;
    CHECK_THROWS(pair.first.hold(both), ErrorCode::kDonorGone);
    pair.first.compact();
    Engine again(scratch / "first", {});
    CHECK_EQ(again.holds().size(), 1U);
    CHECK_EQ(again.holds().at(0).attempt, 2U);
    CHECK_EQ(again.verify().problems.size(), 0U);
    CHECK_EQ(again.release(3, 2, pair.second.store()), 8U);
    CHECK_EQ(again.stats()["segments"], 1U);  // of model 2
  }
}

/// The second server is lost, and another one takes its place.
CASE(adoption_gives_up_what_is_lost) {
  const Scratch scratch;
  TwoStores pair(scratch);
  pair.first.hold(pair.hold);
  pair.second.put(pair.heir);
  PutRequest own = pair.heir;
  own.model_id = 5;
  own.donor.reset();
  own.inherited.reset();
  own.layer_keys = {layer_key(hash_of(7), 0)};
  own.layer_names = {format_layer_name("Dense", hash_of(7), 0)};
  own.tensors = {{0, "uint8", {8}, std::span(pair.bytes)}};
  pair.second.put(own);
  HoldRequest back{6, own.layer_keys, own.layer_names, {5}, 2, pair.first.store()};
  pair.second.hold(back);
  PutRequest heir = own;
  heir.model_id = 6;
  heir.tensors.clear();
  heir.inherited = {{0, 5, 8}};
  pair.first.put(heir);
  CHECK_EQ(pair.first.record(6).owner_stores.at(0), pair.second.store().text());

  Engine third(scratch / "third", {});
  const StoreIds stores{pair.first.store(), third.store()};
  CHECK_THROWS(pair.first.adopt({third.store(), pair.first.store()}, 1, true),
               ErrorCode::kInvalidValue);
  for (const bool only_look : {true, false}) {
    const auto lost = pair.first.adopt(stores, 0, only_look);
    CHECK(lost.models == std::vector<std::uint64_t>{6});
    CHECK(lost.holds == std::vector<std::uint64_t>{3});
    CHECK_EQ(pair.first.contains(6), only_look);
    CHECK_EQ(pair.first.holds().size(), only_look ? 1U : 0U);
  }
  third.adopt(stores, 1, false);
  CHECK(pair.first.contains(2));
  CHECK_EQ(pair.first.adopt(stores, 0, false).models.size(), 0U);
  CHECK_EQ(pair.first.verify().problems.size(), 0U);
  // Who was part of it learns that it is not any more.
  CHECK_THROWS(pair.first.release(3, 0, pair.second.store()), ErrorCode::kWrongStore);
  Engine again(scratch / "first", {});
  CHECK(*again.stores() == stores);
  CHECK_EQ(again.num_models(), 1U);
}

CASE(a_folder_that_became_another_store_is_refused) {
  const Scratch scratch;
  Engine engine(scratch / "here", {});
  const StoreId before = engine.store();
  std::filesystem::rename(scratch / "here", scratch / "away");
  CHECK_THROWS(engine.num_models(), ErrorCode::kFormat);
  {
    Engine other(scratch / "here", {});
    CHECK(!(other.store() == before));
    CHECK_THROWS(engine.num_models(), ErrorCode::kWrongStore);
  }
  std::filesystem::rename(scratch / "here", scratch / "other");
  std::filesystem::rename(scratch / "away", scratch / "here");
  CHECK_EQ(engine.num_models(), 0U);
}

}  // namespace
}  // namespace parsl_tl::testing
