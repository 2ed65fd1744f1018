#include "handlers.hpp"

namespace parsl_tl {

LogStateReply handle(CallContext& call, const LogStateRequest& request) {
  const LogState state = call.engine.log_state(
      {request.generation, request.position, request.last_frame, request.last_checksum});
  return {state.is_known, state.generation, state.position, state.models_put,
          call.engine.format_text()};
}

}  // namespace parsl_tl
