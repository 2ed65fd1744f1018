#include "handlers.hpp"

namespace parsl_tl {

ReleaseReply handle(CallContext& call, const ReleaseRequest& request) {
  return {call.engine.release(request.model_id, request.attempt, parse_store(request.home))};
}

}  // namespace parsl_tl
