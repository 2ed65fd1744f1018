#include <algorithm>
#include <random>
#include <unordered_set>

#include "errors.hpp"
#include "put_message.hpp"
#include "remote_store.hpp"
#include "requests/contains.hpp"
#include "requests/put_architectures.hpp"

namespace parsl_tl {
namespace {

// What a request of many models without tensors holds at most.
constexpr std::size_t kModelsAtOnce = 4096;
constexpr std::size_t kLayersAtOnce = 200'000;
constexpr std::size_t kPutAttempts = 5;

std::uint64_t random_attempt() {
  std::random_device random;
  return ((std::uint64_t{random()} << 32) | random()) | 1;  // 0 stands for none
}

bool contains_all(ServerConnection& connection, const std::vector<std::uint64_t>& ids) {
  const ContainsReply reply = connection.ask(ContainsRequest{ids});
  return reply.found.size() == ids.size() &&
         std::find(reply.found.begin(), reply.found.end(), 0) == reply.found.end();
}

}  // namespace

/// Whether the model is there, as the request describes it: a request whose answer was lost, and of
/// which the server knows nothing any more.
bool RemoteStore::is_stored_already(const PutRequest& request) {
  if (!contains(request.model_id)) {
    ServerConnection& own = home(request.model_id);
    if (!own.facts().stands_in) return false;
    throw StoreException(ErrorCode::kUnreachable,
                         "store server " + own.address() + " has model " +
                             hex_id(request.model_id) +
                             ", and is away: nobody can tell whether it is this one");
  }
  const Model stored = model(request.model_id);
  if (stored.quality != request.quality || stored.parent != request.parent ||
      stored.donor != request.donor || stored.fingerprint != request.fingerprint ||
      stored.attributes != request.attributes ||
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
  PutMessage message = message_of(request, tensors);
  Bulk bulk;
  for (const TensorArgument* tensor : tensors) bulk.upload.push_back(tensor->bytes);
  if (holds.empty()) return send(request, message, bulk);
  std::vector<std::uint64_t> attempts;
  for (;;) {
    try {
      const PutResult result = put_once(request, holds, message, bulk, attempts);
      give_up_abandoned();
      return result;
    } catch (const StoreException& error) {
      // Its server was started anew meanwhile, or somebody took the attempt for dead: another one
      // takes over what it holds.
      if (error.code() == ErrorCode::kStale && attempts.size() < kPutAttempts) continue;
      if (error.code() != ErrorCode::kUnreachable) {
        drop_holds(holds, attempts);
      } else {
        // A model that may be stored yet keeps what it holds, until its server can be asked.
        const std::lock_guard guard(abandoned_mutex_);
        abandoned_.push_back({holds, attempts});
      }
      throw;
    }
  }
}

PutResult RemoteStore::put_once(const PutRequest& request, const std::vector<HoldRequest>& holds,
                                PutMessage& message, const Bulk& bulk,
                                std::vector<std::uint64_t>& attempts) {
  message.attempt = random_attempt();
  attempts.push_back(message.attempt);
  begin_put(request.model_id, message.attempt);
  take_holds(holds, message.attempt);
  return send(request, message, bulk);
}

void RemoteStore::put_architectures(const FlatModels& models) {
  require_writable();
  const auto servers = static_cast<std::uint64_t>(connections().size());
  std::vector<PutArchitecturesRequest> parts(servers);
  std::atomic<std::size_t> stored = 0;
  const auto send = [&](std::size_t server) {
    PutArchitecturesRequest& part = parts[server];
    if (part.model_ids.empty()) return;
    part.class_names.assign(models.class_names.begin(), models.class_names.end());
    bool repeated = false;
    try {
      connections()[server]->ask(part, {}, &repeated);
    } catch (const StoreException& error) {
      const bool is_done = repeated && error.code() == ErrorCode::kExists &&
                           contains_all(*connections()[server], part.model_ids);
      if (!is_done)
        throw StoreException(error.code(), std::string(error.what()) + " (server " +
                                               connections()[server]->address() + "; " +
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
      models.has_parent.size() != count ||
      (!models.fingerprints.empty() && models.fingerprints.size() != count) ||
      models.class_ids.size() != models.prefix_hashes.size()) {
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
    if (!models.fingerprints.empty()) part.fingerprints.push_back(models.fingerprints[i]);
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
