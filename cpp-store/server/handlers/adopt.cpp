#include "handlers.hpp"

namespace parsl_tl {

AdoptReply handle(CallContext& call, const AdoptRequest& request) {
  const Engine::Adoption lost =
      call.engine.adopt(parse_stores(request.stores), request.index, request.only_look);
  return {lost.models, lost.holds};
}

}  // namespace parsl_tl
