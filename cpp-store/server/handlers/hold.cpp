#include "handlers.hpp"

namespace parsl_tl {

HoldReply handle(CallContext& call, const HoldMessage& request) {
  call.server.refuse_many_layers(request.layer_keys.size());
  return {call.engine.hold(
      {request.model_id, request.layer_keys, request.layer_names, request.owners})};
}

}  // namespace parsl_tl
