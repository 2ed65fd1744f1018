// Snapshot files whose checksums are right, whatever they say: everything that a catalog does with
// them, up to the next snapshot.
#include <cstring>

#include "catalog.hpp"
#include "scratch.hpp"
#include "snapshot_writer.hpp"
#include "wrap.hpp"

namespace parsl_tl::fuzz {
namespace {

void ask(const Catalog& catalog, const std::vector<std::uint64_t>& keys,
         std::uint64_t fingerprint) {
  for (const ScoreBy by : {ScoreBy::kLayers, ScoreBy::kBytes}) {
    QueryOptions options;
    options.by = by;
    options.quality_rate = by == ScoreBy::kBytes ? 1.5 : 0.0;
    catalog.best(Query(keys, {}, options));
    options.min_quality = 0.25;
    catalog.best(Query(keys, {}, options));
    options.fingerprints = IdSet({fingerprint});
    catalog.best(Query(keys, {}, options));
  }
}

void use(Catalog catalog) {
  std::vector<std::uint64_t> ids, keys;
  catalog.for_each_model(true, [&](const Model& model) {
    if (!catalog.contains(model.id)) std::abort();
    ids.push_back(model.id);
    for (const LayerRecord& layer : model.layers) keys.push_back(layer.key);
  });
  catalog.for_each_layer([&](std::uint64_t owner, std::uint64_t key, const LayerUse&) {
    catalog.find_layer(owner, key);
  });
  catalog.for_each_owner([&](std::uint64_t owner, std::uint64_t) { catalog.segment_bytes(owner); });
  if (ids.empty()) return;
  catalog.ancestors(ids.front());
  descendants_in(catalog.links_below(ids), ids.front());
  const std::uint64_t fingerprint = catalog.get(ids.back())->fingerprint;
  ask(catalog, keys, fingerprint);
  ask(catalog, {keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(keys.size() / 3)},
      fingerprint);

  // A child of the first model, and every other model retired.
  Record child;
  child.model_id = 0x5EED;
  child.layers = catalog.get(ids.front())->layers;
  answer([&] { catalog.apply(Catalog::prepare(child, {64, 0}, catalog.next_sequence())); });
  for (std::size_t i = 0; i < ids.size(); i += 2) {
    Record gone;
    gone.operation = Operation::kRetire;
    gone.model_id = ids[i];
    answer([&] { catalog.apply(Catalog::prepare(gone, {72, 0}, 0)); });
  }
  ask(catalog, keys, fingerprint);
  static const testing::Scratch scratch;
  const std::atomic<bool> stop{false};
  try {
    write_snapshot(catalog, {1, 64}, scratch.path(), scratch / "snapshot", stop);
  } catch (const std::out_of_range&) {  // an owner's layer that it does not list
  }
  if (const auto next = Snapshot::open(scratch / "snapshot", 1)) next->verify_index();
}

void read_snapshot(Input bytes) {
  std::uint64_t generation = 0;
  if (bytes.size() >= 16) std::memcpy(&generation, bytes.data() + 8, sizeof generation);
  const MemoryFile file(bytes);
  answer([&] {
    auto snapshot = Snapshot::open(file.path(), generation);
    if (snapshot == nullptr) return;
    snapshot->index_bytes();
    use(Catalog(std::move(snapshot)));
  });
}

}  // namespace
}  // namespace parsl_tl::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parsl_tl::fuzz;
  const Input input(data, size);
  read_snapshot(input);
  read_snapshot(sealed_snapshot(input));
  return 0;
}
