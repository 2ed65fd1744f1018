#include "sample_models.hpp"

#include "layer_name.hpp"

namespace parsl_tl::testing {
namespace {

constexpr std::uint64_t kForms = 2;

}  // namespace

std::uint64_t sample_hash(std::uint64_t layer, std::uint64_t form) {
  return 0x9E3779B97F4A7C15U * (1 + layer * kForms + form);
}

std::vector<Bytes> sample_tensors(std::uint64_t owner, std::uint64_t key) {
  Random random(owner ^ (key * 0xBF58476D1CE4E5B9U));
  std::vector<Bytes> tensors(1 + random.below(3));
  for (Bytes& tensor : tensors) {
    const std::uint64_t most = random.chance(0.2) ? 20'000 : 60;
    tensor = random.bytes(random.chance(0.1) ? 0 : 4 * random.below(most));
  }
  return tensors;
}

std::uint64_t sample_bytes(std::uint64_t owner, std::uint64_t key) {
  std::uint64_t sum = 0;
  for (const Bytes& tensor : sample_tensors(owner, key)) sum += tensor.size();
  return sum;
}

SampleModel::SampleModel(std::uint64_t id, double quality) {
  request.model_id = id;
  request.quality = quality;
  request.architecture = "{\"id\": " + std::to_string(id) + "}";
  request.attributes = "{}";
}

void SampleModel::add(std::uint64_t hash, bool has_tensors) {
  const std::uint64_t key = layer_key(hash, 0);
  const auto layer = static_cast<std::uint32_t>(request.layer_keys.size());
  request.layer_keys.push_back(key);
  request.layer_names.push_back(format_layer_name("Dense", hash, 0));
  if (layer > 0) request.edges.insert(request.edges.end(), {layer - 1, layer});
  if (!has_tensors) return;
  for (Bytes& tensor : sample_tensors(request.model_id, key)) {
    memory_.push_back(std::move(tensor));
    const auto floats = static_cast<std::int64_t>(memory_.back().size() / 4);
    request.tensors.push_back({layer, "float32", {floats}, memory_.back()});
  }
}

std::unique_ptr<SampleModel> random_sample_model(std::uint64_t id,
                                                 const std::vector<std::uint64_t>& living,
                                                 const std::vector<std::uint64_t>& used,
                                                 Random& random) {
  auto model = std::make_unique<SampleModel>(id, static_cast<double>(random.below(3)));
  PutRequest& request = model->request;
  if (!living.empty() && random.chance(0.6)) request.donor = random.pick(living);
  if (!used.empty() && random.chance(0.7)) request.parent = random.pick(used);
  if (random.chance(0.3)) request.attributes = "{\"n\": " + std::to_string(random.below(9)) + "}";
  request.fingerprint = random.below(3);
  const bool has_source = request.donor || request.parent;
  const std::uint64_t layers = 1 + random.below(kSampleLayers);
  const std::uint64_t form = random.below(kForms);
  for (std::uint64_t layer = 0; layer < layers; ++layer) {
    const bool is_bare = layer % 5 == 4 || random.chance(has_source ? 0.6 : 0.1);
    model->add(sample_hash(layer, layer < 3 ? 0 : form), !is_bare);
  }
  return model;
}

std::vector<std::uint64_t> random_query(Random& random) {
  std::vector<std::uint64_t> keys;
  const std::uint64_t form = random.below(kForms);
  for (std::uint64_t layer = 0; layer < kSampleLayers; ++layer) {
    if (random.chance(0.6)) keys.push_back(layer_key(sample_hash(layer, layer < 3 ? 0 : form), 0));
  }
  if (random.chance(0.2)) keys.push_back(random());
  return keys;
}

}  // namespace parsl_tl::testing
