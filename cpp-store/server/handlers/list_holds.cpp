#include "clock.hpp"
#include "handlers.hpp"

namespace parsl_tl {

ListHoldsReply handle(CallContext& call, const ListHoldsRequest&) {
  ListHoldsReply reply;
  const std::int64_t now = now_ns();
  for (const Engine::Hold& hold : call.engine.holds()) {
    reply.model_ids.push_back(hold.model_id);
    reply.ages_ns.push_back(now - hold.created_ns);
  }
  return reply;
}

}  // namespace parsl_tl
