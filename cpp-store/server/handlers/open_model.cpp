#include "following.hpp"
#include "handlers.hpp"

namespace parsl_tl {
namespace {

bool has_weights(const LayerRecord& layer) { return layer.has_weights; }
bool has_weights(const PinnedModel::Layer& layer) { return layer.has_weights(); }

/// Of a Model or a PinnedModel, which tell the same.
void add_layers(const auto& model, OpenModelReply& reply) {
  reply.created_ns = model.created_ns;
  reply.quality = model.quality;
  reply.layer_keys.reserve(model.layers.size());
  reply.layer_names.reserve(model.layers.size());
  reply.layer_owners.reserve(model.layers.size());
  reply.layer_bytes.reserve(model.layers.size());
  reply.layer_weights.reserve(model.layers.size());
  for (const auto& layer : model.layers) {
    reply.layer_keys.push_back(layer.key);
    reply.layer_names.push_back(layer.name);
    reply.layer_owners.push_back(layer.owner);
    reply.layer_bytes.push_back(layer.bytes);
    reply.layer_weights.push_back(has_weights(layer) ? 1 : 0);
  }
}

void add_tensors(const PinnedModel& pinned, OpenModelReply& reply) {
  for (std::uint32_t place = 0; place < pinned.layers.size(); ++place) {
    for (const TensorInfo& tensor : pinned.layers[place].tensor_infos()) {
      reply.tensor_layers.push_back(place);
      reply.tensor_dtypes.push_back(tensor.dtype);
      reply.tensor_shapes.push_back(tensor.shape);
      reply.tensor_sizes.push_back(tensor.size);
    }
  }
}

/// Adds what the client cannot map, and keeps it readable.
void keep(CallContext& call, const std::shared_ptr<PinnedModel>& pinned, std::uint64_t lease,
          OpenModelReply& reply) {
  add_tensors(*pinned, reply);
  call.client.keep(lease, pinned, call.server.clients().limits().models_pinned);
}

}  // namespace

OpenModelReply open_found(CallContext& call, std::uint64_t model_id, std::uint64_t lease) {
  OpenModelReply reply;
  if (lease == 0 && call.stands_for == nullptr) {
    add_layers(call.engine.model(model_id), reply);
    return reply;
  }
  const auto pinned = call.pin(model_id);
  add_layers(*pinned, reply);
  if (lease != 0) keep(call, pinned, lease, reply);
  return reply;
}

OpenModelReply open_followed(CallContext& call, FollowedStore& store, std::uint64_t model_id,
                             std::uint64_t lease) {
  const auto pinned = store.pin(model_id);
  OpenModelReply reply;
  add_layers(*pinned, reply);
  reply.folders = store.folders();
  if (lease != 0) keep(call, pinned, lease, reply);
  return reply;
}

OpenModelReply handle(CallContext& call, const OpenModelRequest& request) {
  call.client.let_go(request.let_go);
  if (const auto store = followed_store_of(call, request.model_id)) {
    return open_followed(call, *store, request.model_id, request.lease);
  }
  OpenModelReply reply;
  const Model model = call.engine.model(request.model_id);  // kNotFound if it is not living
  reply.created_ns = model.created_ns;
  reply.quality = model.quality;
  if (!request.knows_layers) add_layers(model, reply);
  // For whom this server stands in, they may have to be pulled before the client maps them.
  if (request.lease == 0 && call.stands_for == nullptr) return reply;
  const auto pinned = call.pin(request.model_id);
  if (request.lease != 0) keep(call, pinned, request.lease, reply);
  return reply;
}

}  // namespace parsl_tl
