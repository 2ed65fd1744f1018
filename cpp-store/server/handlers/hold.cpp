#include "handlers.hpp"

namespace parsl_tl {

HoldReply handle(CallContext& call, const HoldMessage& request) {
  call.server.refuse_many_layers(request.layer_keys.size());
  const Engine::HoldResult result =
      call.engine.hold({request.model_id, request.layer_keys, request.layer_names, request.owners,
                        request.attempt, parse_store(request.home), request.replaces});
  return {result.taken, result.attempt};
}

}  // namespace parsl_tl
