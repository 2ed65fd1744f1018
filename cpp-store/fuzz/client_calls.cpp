#include "client_calls.hpp"

#include <arrow/table.h>

#include "layer_name.hpp"
#include "sample_models.hpp"

namespace parsl_tl::fuzz {
namespace {

// Larger models are opened, and not read.
constexpr std::uint64_t kMostBytes = 1 << 20;

void touch(std::span<const std::uint8_t> bytes) {
  volatile std::uint8_t sum = 0;
  for (const std::uint8_t byte : bytes) sum = static_cast<std::uint8_t>(sum + byte);
}

void read(const RemoteModel& model) {
  std::vector<std::size_t> places(model.layers.size());
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = i;
  std::uint64_t bytes = 0;
  std::vector<std::vector<testing::Bytes>> targets;
  for (const auto& layer : model.layers) {
    targets.emplace_back();
    for (const TensorInfo& tensor : layer.tensor_infos()) {
      if (tensor.size > kMostBytes || (bytes += tensor.size) > kMostBytes) return;
      targets.back().emplace_back(tensor.size);
    }
  }
  const ViewedLayers viewed = view_layers(model, places);
  for (const LayerBytes& layer : viewed.layers) {
    for (const auto& tensor : layer) touch(tensor);
  }
  std::vector<LayerMemory> memory;
  for (auto& layer : targets) memory.emplace_back(layer.begin(), layer.end());
  copy_layers(model, places, memory);
  for (const auto& layer : targets) {
    for (const auto& tensor : layer) touch(tensor);
  }
}

void put(RemoteStore& store, std::uint64_t donor) {
  testing::SampleModel model(13, 1.0);
  for (const std::uint64_t layer : {0, 1, 2, 3})
    model.add(testing::sample_hash(layer, 0), layer == 3);
  if (donor > 0) model.request.donor = donor;
  model.request.fingerprint = 7;
  store.put(model.request);
}

void put_architectures(RemoteStore& store) {
  const std::vector<std::uint64_t> ids{20, 21, 22}, parents(3), hashes{1, 2, 3};
  const std::vector<double> qualities(3);
  const std::vector<std::uint8_t> has_parent(3);
  const std::vector<std::int64_t> starts{0, 1, 2, 3}, edge_starts(4);
  const std::vector<std::uint32_t> classes(3), edges;
  const std::vector<std::string> names{"Dense"};
  store.put_architectures({ids,
                           qualities,
                           parents,
                           has_parent,
                           starts,
                           hashes,
                           classes,
                           names,
                           edge_starts,
                           edges,
                           {}});
}

}  // namespace

void make_client_call(RemoteStore& store, std::size_t call) {
  const std::vector<std::uint64_t> keys{layer_key(testing::sample_hash(0, 0), 0),
                                        layer_key(testing::sample_hash(1, 0), 0)};
  switch (call % kClientCalls) {
    case 0:
      return put(store, 0);
    case 1:
      return put(store, 10);
    case 2:
      return put_architectures(store);
    case 3:
      return static_cast<void>(store.retire(10));
    case 4:
      if (const auto match = store.find_donor({keys, {}}, {})) read(*match);
      return;
    case 5: {
      std::vector<double> scores;
      store.find_donors({{keys, {}}, {keys, {}}}, {}, scores);
      return;
    }
    case 6:
      return read(*store.pin(10));
    case 7: {
      // Opened twice: the second time the composition is known.
      const auto model = store.pin(4);
      return read(*store.pin(4));
    }
    case 8:
      return static_cast<void>(store.model(10));
    case 9:
      return static_cast<void>(store.architecture(10));
    case 10:
      return static_cast<void>(store.reference_count(1, keys[0]));
    case 11:
      return static_cast<void>(store.num_models());
    case 12:
      return static_cast<void>(store.ancestors(10));
    case 13:
      return static_cast<void>(store.descendants(1));
    case 14:
      return static_cast<void>(store.models()->num_rows());
    case 15:
      return static_cast<void>(store.stats());
    case 16:
      return static_cast<void>(store.verify());
    default:
      return static_cast<void>(store.compact());
  }
}

}  // namespace parsl_tl::fuzz
