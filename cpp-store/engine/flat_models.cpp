#include "flat_models.hpp"

#include <algorithm>
#include <unordered_map>

#include "errors.hpp"
#include "layer_name.hpp"

namespace parsl_tl {
namespace {

constexpr std::size_t kMostClassLetters = 255;

}  // namespace

void check_starts(std::span<const std::int64_t> starts, std::size_t things, std::size_t values) {
  if (starts.size() != things + 1 || starts.front() != 0 ||
      starts.back() != static_cast<std::int64_t>(values) ||
      !std::is_sorted(starts.begin(), starts.end())) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "starts must ascend from 0 to the number of values, one more than models");
  }
}

std::vector<PutRequest> requests_of(const FlatModels& models) {
  const std::size_t count = models.model_ids.size();
  if (models.qualities.size() != count || models.parents.size() != count ||
      models.has_parent.size() != count ||
      (!models.fingerprints.empty() && models.fingerprints.size() != count) ||
      models.class_ids.size() != models.prefix_hashes.size()) {
    throw StoreException(ErrorCode::kInvalidValue, "one value for each model, and each layer");
  }
  check_starts(models.layer_starts, count, models.prefix_hashes.size());
  check_starts(models.edge_starts, count, models.edges.size() / 2);
  for (const std::string& name : models.class_names) {
    // Every layer has it in its name: a long one would take much memory.
    if (name.size() <= kMostClassLetters) continue;
    throw StoreException(ErrorCode::kInvalidValue,
                         "a class name of " + std::to_string(name.size()) + " letters; at most " +
                             std::to_string(kMostClassLetters) + " are possible");
  }
  for (const std::uint32_t id : models.class_ids) {
    if (id >= models.class_names.size()) {
      throw StoreException(ErrorCode::kInvalidValue, "class " + std::to_string(id) + " of " +
                                                         std::to_string(models.class_names.size()));
    }
  }
  std::vector<PutRequest> requests(count);
  for (std::size_t i = 0; i < count; ++i) {
    PutRequest& request = requests[i];
    request.model_id = models.model_ids[i];
    request.quality = models.qualities[i];
    if (models.has_parent[i] != 0) request.parent = models.parents[i];
    request.attributes = "{}";
    if (!models.fingerprints.empty()) request.fingerprint = models.fingerprints[i];
    std::unordered_map<std::uint64_t, std::uint64_t> twins;
    const auto end = static_cast<std::size_t>(models.layer_starts[i + 1]);
    for (auto layer = static_cast<std::size_t>(models.layer_starts[i]); layer < end; ++layer) {
      const std::uint64_t hash = models.prefix_hashes[layer];
      const std::uint64_t twin = twins[hash]++;
      request.layer_keys.push_back(layer_key(hash, twin));
      request.layer_names.push_back(
          format_layer_name(models.class_names[models.class_ids[layer]], hash, twin));
    }
    request.edges.assign(models.edges.begin() + 2 * models.edge_starts[i],
                         models.edges.begin() + 2 * models.edge_starts[i + 1]);
  }
  return requests;
}

}  // namespace parsl_tl
