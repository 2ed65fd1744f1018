// The delta index: a removed model leaves nothing.
#include <map>

#include "check.hpp"
#include "delta_index.hpp"
#include "random.hpp"

namespace parsl_tl::testing {
namespace {

std::vector<DeltaIndex::Entry> random_layers(Random& random) {
  std::map<std::uint64_t, std::uint64_t> layers;
  for (std::size_t i = 0; i <= random.below(12); ++i) layers[random.below(40)] = random.below(100);
  std::vector<DeltaIndex::Entry> entries;
  for (const auto& [key, bytes] : layers) entries.push_back({key, bytes});
  return entries;
}

Donor best(const DeltaIndex& index, const std::vector<std::uint64_t>& keys) {
  Donor donor;
  index.search(Query(keys, {}, {}), donor);
  return donor;
}

CASE(delta_index_removal_leaves_nothing) {
  Random random(8);
  DeltaIndex index;
  std::vector<std::vector<DeltaIndex::Entry>> layers(200);
  for (auto& entries : layers) entries = random_layers(random);
  const auto add = [&](std::uint64_t id) {
    index.add({id, static_cast<double>(id % 4), id}, layers[id]);
  };
  // Up to its size once, so that the slots' memory is there.
  for (std::uint64_t id = 0; id < layers.size(); ++id) add(id);
  for (std::uint64_t id = 0; id < layers.size(); ++id) index.remove(id);
  const std::size_t empty_bytes = index.num_bytes();
  CHECK_EQ(index.num_models(), 0U);
  CHECK_EQ(index.num_keys(), 0U);
  CHECK_EQ(index.num_postings(), 0U);

  for (std::uint64_t id = 0; id < 50; ++id) add(id);
  const std::size_t models = index.num_models(), keys = index.num_keys();
  const std::size_t postings = index.num_postings(), bytes = index.num_bytes();
  CHECK(bytes > empty_bytes);
  for (std::uint64_t id = 50; id < layers.size(); ++id) add(id);
  std::vector<std::uint64_t> order;
  for (std::uint64_t id = 50; id < layers.size(); ++id) order.push_back(id);
  while (!order.empty()) {
    const std::size_t place = random.below(order.size());
    index.remove(order[place]);
    order.erase(order.begin() + static_cast<long>(place));
  }
  CHECK_EQ(index.num_models(), models);
  CHECK_EQ(index.num_keys(), keys);
  CHECK_EQ(index.num_postings(), postings);
  CHECK_EQ(index.num_bytes(), bytes);
  index.remove(12345);  // never added
  CHECK_EQ(index.num_models(), models);
}

CASE(delta_index_orders_ties) {
  DeltaIndex index;
  const std::vector<DeltaIndex::Entry> layers{{1, 10}, {2, 10}};
  index.add({100, 0.5, 0}, layers);
  index.add({101, 0.5, 1}, layers);
  index.add({102, 0.7, 2}, std::span(layers).first(1));
  CHECK_EQ(best(index, {1, 2}).model_id, 101U);  // the longer prefix, then the later one
  CHECK_EQ(best(index, {1}).model_id, 102U);     // the better one
  index.remove(101);
  CHECK_EQ(best(index, {1, 2}).model_id, 100U);
  index.add({103, 0.5, 3}, layers);  // in the slot that became free
  CHECK_EQ(best(index, {1, 2}).model_id, 103U);
  CHECK(!best(index, {3}).found);
  CHECK(!best(index, {}).found);
}

}  // namespace
}  // namespace parsl_tl::testing
