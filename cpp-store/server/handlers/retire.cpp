#include <unordered_set>

#include "following.hpp"
#include "handlers.hpp"

namespace parsl_tl {

RetireReply handle(CallContext& call, const RetireRequest& request) {
  RetireReply reply;
  if (const auto store = followed_store_of(call, request.model_id)) {
    reply.bytes_freed = store->retire(request.model_id);
    return reply;
  }
  std::unordered_set<std::uint64_t> owners;
  for (const LayerRecord& layer : call.engine.model(request.model_id).layers) {
    if (layer.has_weights && layer.owner != request.model_id) owners.insert(layer.owner);
  }
  reply.owners.assign(owners.begin(), owners.end());
  reply.bytes_freed = call.engine.retire(request.model_id);
  return reply;
}

}  // namespace parsl_tl
