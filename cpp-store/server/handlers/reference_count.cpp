#include "handlers.hpp"

namespace parsl_tl {

ReferenceCountReply handle(CallContext& call, const ReferenceCountRequest& request) {
  return {call.engine.reference_count(request.owner, request.layer_key)};
}

}  // namespace parsl_tl
