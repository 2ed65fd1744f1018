#include "handlers.hpp"

namespace parsl_tl {

GoodbyeReply handle(CallContext& call, const GoodbyeRequest&) {
  call.client.forget_all();
  return {};
}

}  // namespace parsl_tl
