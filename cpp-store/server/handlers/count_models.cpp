#include "handlers.hpp"

namespace parsl_tl {

CountModelsReply handle(CallContext& call, const CountModelsRequest&) {
  return {call.engine.num_models()};
}

}  // namespace parsl_tl
