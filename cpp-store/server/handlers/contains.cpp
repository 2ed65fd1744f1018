#include "handlers.hpp"

namespace parsl_tl {

ContainsReply handle(CallContext& call, const ContainsRequest& request) {
  ContainsReply reply;
  for (const std::uint64_t id : request.model_ids) {
    reply.found.push_back(engine_of(call, id).contains(id) ? 1 : 0);
  }
  return reply;
}

}  // namespace parsl_tl
