#include "handlers.hpp"

namespace parsl_tl {

ArchitectureReply handle(CallContext& call, const ArchitectureRequest& request) {
  return {call.engine.architecture(request.model_id)};
}

}  // namespace parsl_tl
