#include "handlers.hpp"

namespace parsl_tl {

AncestorsReply handle(CallContext& call, const AncestorsRequest& request) {
  if (!call.engine.was_used(request.model_id)) return {};
  return {true, call.engine.ancestors(request.model_id)};
}

}  // namespace parsl_tl
