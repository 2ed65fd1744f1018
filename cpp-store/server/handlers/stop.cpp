#include "handlers.hpp"

namespace parsl_tl {

StopReply handle(CallContext& call, const StopRequest&) {
  call.server.request_stop();
  return {};
}

}  // namespace parsl_tl
