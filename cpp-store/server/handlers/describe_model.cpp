#include "handlers.hpp"

namespace parsl_tl {

DescribeModelReply handle(CallContext& call, const DescribeModelRequest& request) {
  const Model model = engine_of(call, request.model_id).model(request.model_id);
  DescribeModelReply reply;
  reply.quality = model.quality;
  reply.parent = model.parent;
  reply.donor = model.donor;
  reply.fingerprint = model.fingerprint;
  reply.created_ns = model.created_ns;
  reply.bytes_owned = model.bytes_owned;
  reply.bytes_total = model.bytes_total;
  reply.attributes = model.attributes;
  for (const LayerRecord& layer : model.layers) {
    reply.layer_keys.push_back(layer.key);
    reply.layer_names.push_back(layer.name);
    reply.layer_owners.push_back(layer.owner);
  }
  return reply;
}

}  // namespace parsl_tl
