#include "handlers.hpp"

namespace parsl_tl {
namespace {

void add_layers(const Model& model, OpenModelReply& reply) {
  for (const LayerRecord& layer : model.layers) {
    reply.layer_keys.push_back(layer.key);
    reply.layer_names.push_back(layer.name);
    reply.layer_owners.push_back(layer.owner);
    reply.layer_bytes.push_back(layer.bytes);
    reply.layer_weights.push_back(layer.has_weights ? 1 : 0);
  }
}

void add_tensors(const PinnedModel& pinned, OpenModelReply& reply) {
  for (std::uint32_t place = 0; place < pinned.layers.size(); ++place) {
    const PinnedModel::Layer& layer = pinned.layers[place];
    for (std::uint32_t i = 0; i < layer.tensors.count; ++i) {
      const TensorInfo& tensor = layer.segment->directory()[layer.tensors.first + i];
      reply.tensor_layers.push_back(place);
      reply.tensor_dtypes.push_back(tensor.dtype);
      reply.tensor_shapes.push_back(tensor.shape);
      reply.tensor_sizes.push_back(tensor.size);
    }
  }
}

}  // namespace

OpenModelReply open_model(CallContext& call, std::uint64_t model_id, std::uint64_t lease,
                          bool knows_layers) {
  OpenModelReply reply;
  const Model model = call.engine.model(model_id);
  reply.quality = model.quality;
  if (!knows_layers) add_layers(model, reply);
  if (lease == 0) return reply;
  const auto pinned = call.engine.pin(model_id);
  add_tensors(*pinned, reply);
  call.client.keep(lease, pinned, call.server.clients().limits().models_pinned);
  return reply;
}

OpenModelReply handle(CallContext& call, const OpenModelRequest& request) {
  call.client.let_go(request.let_go);
  return open_model(call, request.model_id, request.lease, request.knows_layers);
}

}  // namespace parsl_tl
