#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "errors.hpp"
#include "remote_store.hpp"
#include "requests/contains.hpp"
#include "requests/hold.hpp"
#include "requests/put.hpp"
#include "requests/put_architectures.hpp"
#include "requests/release.hpp"

namespace parsl_tl {
namespace {

// What a request of many models without tensors holds at most.
constexpr std::size_t kModelsAtOnce = 4096;
constexpr std::size_t kLayersAtOnce = 200'000;

PutMessage message_of(const PutRequest& request,
                      const std::vector<const TensorArgument*>& tensors) {
  PutMessage message;
  message.model_id = request.model_id;
  message.quality = request.quality;
  message.parent = request.parent;
  message.donor = request.donor;
  message.layer_keys = request.layer_keys;
  message.layer_names = request.layer_names;
  message.edges = request.edges;
  message.architecture = request.architecture;
  message.attributes = request.attributes;
  for (const TensorArgument* tensor : tensors) {
    message.tensor_layers.push_back(tensor->layer);
    message.tensor_dtypes.push_back(tensor->dtype);
    message.tensor_shapes.push_back(tensor->shape);
    message.tensor_sizes.push_back(tensor->bytes.size());
  }
  if (!request.inherited) return message;
  message.names_inherited = true;
  for (const InheritedLayer& layer : *request.inherited) {
    message.inherited_layers.push_back(layer.layer);
    message.inherited_owners.push_back(layer.owner);
    message.inherited_bytes.push_back(layer.bytes);
  }
  return message;
}

bool contains_all(Provider& provider, const std::vector<std::uint64_t>& ids) {
  const ContainsReply reply = provider.ask(ContainsRequest{ids});
  return reply.found.size() == ids.size() &&
         std::find(reply.found.begin(), reply.found.end(), 0) == reply.found.end();
}

std::vector<const TensorArgument*> in_order_of_layers(const PutRequest& request) {
  std::vector<const TensorArgument*> tensors;
  for (const TensorArgument& tensor : request.tensors) tensors.push_back(&tensor);
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const auto* a, const auto* b) { return a->layer < b->layer; });
  return tensors;
}

}  // namespace

/// What the model inherits, and from where: the request gets to know the owners, and what is held on
/// other servers than the model's own comes back.
std::vector<HoldRequest> RemoteStore::add_inherited(PutRequest& request) {
  std::shared_ptr<const Composition> source;
  try {
    if (request.donor) {
      source = composition(*request.donor);
    } else if (request.parent) {
      source = composition(*request.parent);
    }
  } catch (const StoreException& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    if (request.donor) {
      throw StoreException(ErrorCode::kDonorGone,
                           "model " + hex_id(request.model_id) + " cannot inherit from " +
                               hex_id(*request.donor) +
                               ", which was retired or never stored; store all of its weights");
    }
  }
  request.inherited.emplace();
  if (source == nullptr) return {};
  std::unordered_map<std::uint64_t, const Composition::Layer*> shared;
  for (const Composition::Layer& layer : source->layers) shared[layer.key] = &layer;
  std::unordered_set<std::uint32_t> own;
  for (const TensorArgument& tensor : request.tensors) own.insert(tensor.layer);
  std::map<std::uint32_t, HoldRequest> holds;
  const std::uint32_t here = home(request.model_id).index();
  for (std::uint32_t i = 0; i < request.layer_keys.size(); ++i) {
    const auto found = shared.find(request.layer_keys[i]);
    if (own.contains(i) || found == shared.end() || !found->second->has_weights) continue;
    const Composition::Layer& layer = *found->second;
    request.inherited->push_back({i, layer.owner, layer.bytes});
    const std::uint32_t there = home(layer.owner).index();
    if (there == here) continue;
    HoldRequest& hold = holds[there];
    hold.model_id = request.model_id;
    hold.layer_keys.push_back(layer.key);
    hold.layer_names.push_back(request.layer_names[i]);
    hold.owners.push_back(layer.owner);
  }
  std::vector<HoldRequest> result;
  for (auto& [server, hold] : holds) result.push_back(std::move(hold));
  return result;
}

/// Each server that the model is held on from now on becomes one of `holders`, also when another
/// refuses.
void RemoteStore::take_holds(const std::vector<HoldRequest>& holds,
                             std::vector<std::uint32_t>& holders) {
  std::mutex mutex;
  parts_->fanout->run(holds.size(), [&](std::size_t i) {
    const HoldRequest& hold = holds[i];
    Provider& provider = home(hold.owners.front());
    const HoldReply reply = provider.ask(
        HoldMessage{hold.model_id, hold.layer_keys, hold.layer_names, hold.owners});
    const std::lock_guard guard(mutex);
    if (reply.is_new) holders.push_back(provider.index());
  });
}

/// After a put that failed. What cannot be let go of now is found when the store is compacted.
void RemoteStore::drop_holds(std::uint64_t model_id, const std::vector<std::uint32_t>& holders) {
  if (holders.empty()) return;
  try {
    // Another client may have stored a model of this id meanwhile, or this one before.
    if (!contains(model_id)) release_holds(model_id, holders);
  } catch (const StoreException&) {
    // The error that made the put fail is the one to be told.
  }
}

std::uint64_t RemoteStore::release_holds(std::uint64_t model_id,
                                         const std::vector<std::uint32_t>& servers) {
  std::atomic<std::uint64_t> freed = 0;
  parts_->fanout->run(servers.size(), [&](std::size_t i) {
    freed += providers()[servers[i]]->ask(ReleaseRequest{model_id}).bytes_freed;
  });
  return freed;
}

/// Whether the model is there, as the request describes it: a request whose answer was lost, and of
/// which the server knows nothing any more.
bool RemoteStore::is_stored_already(const PutRequest& request) {
  if (!contains(request.model_id)) return false;
  const Model stored = model(request.model_id);
  if (stored.quality != request.quality || stored.parent != request.parent ||
      stored.donor != request.donor || stored.attributes != request.attributes ||
      stored.layers.size() != request.layer_keys.size()) {
    return false;
  }
  for (std::size_t i = 0; i < stored.layers.size(); ++i) {
    if (stored.layers[i].key != request.layer_keys[i]) return false;
  }
  return true;
}

PutResult RemoteStore::send(const PutRequest& request, const PutMessage& message,
                            const Bulk& bulk) {
  bool repeated = false;
  try {
    const PutReply reply = home(request.model_id).ask(message, bulk, &repeated);
    return {reply.bytes_stored, reply.layers_stored, reply.layers_inherited};
  } catch (const StoreException& error) {
    const bool is_done =
        repeated && error.code() == ErrorCode::kExists && is_stored_already(request);
    if (!is_done) throw;
  }
  std::unordered_set<std::uint32_t> layers;
  for (const TensorArgument& tensor : request.tensors) layers.insert(tensor.layer);
  const auto stored = composition(request.model_id);
  const auto is_inherited = [&](const Composition::Layer& layer) {
    return layer.owner != request.model_id;
  };
  return {size_of(bulk.upload), layers.size(),
          static_cast<std::uint64_t>(
              std::count_if(stored->layers.begin(), stored->layers.end(), is_inherited))};
}

PutResult RemoteStore::put(const PutRequest& given) {
  require_writable();
  PutRequest request = given;
  std::vector<HoldRequest> holds;
  if (!is_alone()) {
    validate(request);  // before anything is held for it
    holds = add_inherited(request);
  }
  const auto tensors = in_order_of_layers(request);
  const PutMessage message = message_of(request, tensors);
  Bulk bulk;
  for (const TensorArgument* tensor : tensors) bulk.upload.push_back(tensor->bytes);
  std::vector<std::uint32_t> holders;
  try {
    if (!holds.empty() && contains(request.model_id)) {
      throw StoreException(ErrorCode::kExists, "model id " + hex_id(request.model_id) +
                                                   " was used before; ids are never reused");
    }
    take_holds(holds, holders);
    return send(request, message, bulk);
  } catch (const StoreException& error) {
    // A model that may be stored yet keeps what it holds. If it is not, the holds are found when the
    // store is compacted.
    if (error.code() != ErrorCode::kUnreachable) drop_holds(request.model_id, holders);
    throw;
  }
}

void RemoteStore::put_architectures(const FlatModels& models) {
  require_writable();
  const auto servers = static_cast<std::uint64_t>(providers().size());
  std::vector<PutArchitecturesRequest> parts(servers);
  std::atomic<std::size_t> stored = 0;
  const auto send = [&](std::size_t server) {
    PutArchitecturesRequest& part = parts[server];
    if (part.model_ids.empty()) return;
    part.class_names.assign(models.class_names.begin(), models.class_names.end());
    bool repeated = false;
    try {
      providers()[server]->ask(part, {}, &repeated);
    } catch (const StoreException& error) {
      const bool is_done = repeated && error.code() == ErrorCode::kExists &&
                           contains_all(*providers()[server], part.model_ids);
      if (!is_done) throw StoreException(error.code(), std::string(error.what()) + " (server " +
                                             providers()[server]->address() + "; " +
                                             std::to_string(stored) +
                                             " models were stored in earlier requests)");
    }
    stored += part.model_ids.size();
    part = {};
  };
  const std::size_t count = models.model_ids.size();
  check_starts(models.layer_starts, count, models.prefix_hashes.size());
  check_starts(models.edge_starts, count, models.edges.size() / 2);
  if (models.qualities.size() != count || models.parents.size() != count ||
      models.has_parent.size() != count || models.class_ids.size() != models.prefix_hashes.size()) {
    throw StoreException(ErrorCode::kInvalidValue, "one value for each model, and each layer");
  }
  const auto append = [](auto& to, const auto& from, std::int64_t begin, std::int64_t end) {
    to.insert(to.end(), from.begin() + begin, from.begin() + end);
  };
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t server = models.model_ids[i] % servers;
    PutArchitecturesRequest& part = parts[server];
    if (part.model_ids.empty()) part.layer_starts = part.edge_starts = {0};
    part.model_ids.push_back(models.model_ids[i]);
    part.qualities.push_back(models.qualities[i]);
    part.parents.push_back(models.parents[i]);
    part.has_parent.push_back(models.has_parent[i]);
    append(part.prefix_hashes, models.prefix_hashes, models.layer_starts[i],
           models.layer_starts[i + 1]);
    append(part.class_ids, models.class_ids, models.layer_starts[i], models.layer_starts[i + 1]);
    append(part.edges, models.edges, 2 * models.edge_starts[i], 2 * models.edge_starts[i + 1]);
    part.layer_starts.push_back(static_cast<std::int64_t>(part.prefix_hashes.size()));
    part.edge_starts.push_back(static_cast<std::int64_t>(part.edges.size() / 2));
    if (part.model_ids.size() >= kModelsAtOnce || part.prefix_hashes.size() >= kLayersAtOnce) {
      send(server);
    }
  }
  parts_->fanout->run(servers, send);
}

}  // namespace parsl_tl
