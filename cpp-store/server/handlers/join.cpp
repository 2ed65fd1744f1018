#include "handlers.hpp"

namespace parsl_tl {

JoinReply handle(CallContext& call, const JoinRequest& request) {
  if (request.stores.size() > 1 && call.server.following() != nullptr) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "a server that follows other stores is a store of its own; name it alone, "
                         "or serve " +
                             call.engine.folder() + " without --follow");
  }
  call.engine.join(parse_stores(request.stores), request.index);
  return {};
}

}  // namespace parsl_tl
