#include "handlers.hpp"

namespace parsl_tl {

FoldReply handle(CallContext& call, const FoldRequest&) {
  call.engine.fold();
  return {};
}

}  // namespace parsl_tl
