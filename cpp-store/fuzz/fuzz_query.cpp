// Queries, and the search against looking at every model, in a delta and in a snapshot.
#include <cstdlib>
#include <cstring>

#include "history.hpp"
#include "scratch.hpp"
#include "snapshot_writer.hpp"
#include "wrap.hpp"

namespace parsl_tl::fuzz {
namespace {

/// Takes numbers from the input; zeros when it is used up.
class Reader {
 public:
  explicit Reader(Input input) : left_(input) {}

  template <typename T>
  T take() {
    T value{};
    const std::size_t size = std::min(sizeof value, left_.size());
    if (size > 0) std::memcpy(&value, left_.data(), size);
    left_ = left_.subspan(size);
    return value;
  }
  bool is_empty() const { return left_.empty(); }

 private:
  Input left_;
};

struct World {
  testing::History history{{.seed = 7, .num_layers = 24}};
  Catalog delta;  // everything since the beginning
  Catalog mixed;  // half of it in a snapshot
  std::vector<std::uint64_t> keys, ids, fingerprints;

  World() {
    const testing::Scratch scratch;
    for (std::uint64_t step = 0; step < 60; ++step) {
      const auto records = history.next(delta);
      testing::apply(delta, records, 16 + 8 * step);
      testing::apply(mixed, records, 16 + 8 * step);
      if (step != 30) continue;
      const std::atomic<bool> stop{false};
      write_snapshot(mixed, {1, 16}, scratch.path(), scratch / "snapshot", stop);
      mixed = Catalog(Snapshot::open(scratch / "snapshot", 1));
    }
    delta.for_each_model(false, [this](const Model& model) {
      ids.push_back(model.id);
      fingerprints.push_back(model.fingerprint);
      for (const LayerRecord& layer : model.layers) keys.push_back(layer.key);
    });
  }
};

void check(const World& world, const Query& query) {
  const Donor expected = testing::brute_force(world.delta, world.history, query);
  for (const Catalog* catalog : {&world.delta, &world.mixed}) {
    const Donor donor = catalog->best(query);
    if (donor.found != expected.found || donor.model_id != expected.model_id ||
        donor.total != expected.total || donor.score != expected.score) {
      std::abort();
    }
  }
}

}  // namespace
}  // namespace parsl_tl::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parsl_tl;
  static const fuzz::World world;
  fuzz::Reader reader({data, size});
  QueryOptions options;
  options.by = static_cast<ScoreBy>(reader.take<std::uint8_t>() % 3);
  const auto flags = reader.take<std::uint8_t>();
  if (flags & 1) options.quality_rate = reader.take<double>();
  if (flags & 2) options.min_quality = reader.take<double>();
  for (int i = flags >> 2 & 7; i > 0; --i) {
    options.exclude.insert(world.ids[reader.take<std::uint8_t>() % world.ids.size()]);
  }
  if (flags & 64) {
    options.fingerprints.emplace();
    for (int i = flags & 7; i > 0; --i) {
      options.fingerprints->insert(
          world.fingerprints[reader.take<std::uint8_t>() % world.fingerprints.size()]);
    }
  }
  std::vector<std::uint64_t> keys;
  std::vector<double> weights;
  const bool one_more = (flags & 32) != 0;  // weight than keys
  while (!reader.is_empty() && keys.size() < 200) {
    const auto which = reader.take<std::uint8_t>();
    keys.push_back(which == 255 ? reader.take<std::uint64_t>()
                                : world.keys[which % world.keys.size()]);
    if (options.by == ScoreBy::kWeights) weights.push_back(reader.take<float>());
  }
  if (one_more) weights.push_back(1.0);
  fuzz::answer([&] { fuzz::check(world, Query(keys, weights, options)); });
  return 0;
}
