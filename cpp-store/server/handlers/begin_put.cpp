#include "errors.hpp"
#include "handlers.hpp"

namespace parsl_tl {

BeginPutReply handle(CallContext& call, const BeginPutRequest& request) {
  if (request.attempt == 0) {
    throw StoreException(ErrorCode::kInvalidValue, "an attempt without a number");
  }
  if (call.engine.was_used(request.model_id)) {
    throw StoreException(ErrorCode::kExists, "model id " + hex_id(request.model_id) +
                                                 " was used before; ids are never reused");
  }
  call.server.attempts().begin(request.model_id, request.attempt,
                               {request.machine, request.process, request.process_start});
  return {};
}

}  // namespace parsl_tl
