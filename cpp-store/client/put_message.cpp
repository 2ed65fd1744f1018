#include "put_message.hpp"

#include <algorithm>

namespace parsl_tl {

std::vector<const TensorArgument*> in_order_of_layers(const PutRequest& request) {
  std::vector<const TensorArgument*> tensors;
  tensors.reserve(request.tensors.size());
  for (const TensorArgument& tensor : request.tensors) tensors.push_back(&tensor);
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const auto* a, const auto* b) { return a->layer < b->layer; });
  return tensors;
}

PutMessage message_of(const PutRequest& request,
                      const std::vector<const TensorArgument*>& tensors) {
  PutMessage message;
  message.model_id = request.model_id;
  message.quality = request.quality;
  message.parent = request.parent;
  message.donor = request.donor;
  message.fingerprint = request.fingerprint;
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
  if (request.weighted) {
    message.is_whole = true;
    message.weighted = request.weighted->certain;
    message.maybe_weighted = request.weighted->possible;
  }
  message.parent_is_gone = request.parent_is_gone;
  if (!request.inherited) return message;
  message.names_inherited = true;
  for (const InheritedLayer& layer : *request.inherited) {
    message.inherited_layers.push_back(layer.layer);
    message.inherited_owners.push_back(layer.owner);
    message.inherited_bytes.push_back(layer.bytes);
  }
  return message;
}

}  // namespace parsl_tl
