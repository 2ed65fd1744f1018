#include "handlers.hpp"

namespace parsl_tl {

JoinReply handle(CallContext& call, const JoinRequest& request) {
  call.engine.join(parse_stores(request.stores), request.index);
  return {};
}

}  // namespace parsl_tl
