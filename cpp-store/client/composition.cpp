#include "composition.hpp"

#include "errors.hpp"

namespace parsl_tl {

std::shared_ptr<const Composition> Composition::from(std::uint64_t model_id,
                                                     const OpenModelReply& reply) {
  const std::size_t layers = reply.layer_keys.size();
  if (reply.layer_names.size() != layers || reply.layer_owners.size() != layers ||
      reply.layer_bytes.size() != layers || reply.layer_weights.size() != layers) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "malformed reply: a list of layers is shorter than its companions");
  }
  auto made = std::make_shared<Composition>();
  made->model_id = model_id;
  made->created_ns = reply.created_ns;
  made->quality = reply.quality;
  for (std::size_t i = 0; i < layers; ++i) {
    made->layers.push_back({reply.layer_keys[i], reply.layer_names[i], reply.layer_owners[i],
                            reply.layer_bytes[i], reply.layer_weights[i] != 0});
  }
  return made;
}

}  // namespace parsl_tl
