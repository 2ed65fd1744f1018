#include "handlers.hpp"

namespace parsl_tl {

ArchitectureReply handle(CallContext& call, const ArchitectureRequest& request) {
  return {engine_of(call, request.model_id).architecture(request.model_id)};
}

}  // namespace parsl_tl
