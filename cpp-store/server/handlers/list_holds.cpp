#include "handlers.hpp"

namespace parsl_tl {

ListHoldsReply handle(CallContext& call, const ListHoldsRequest&) {
  ListHoldsReply reply;
  for (const Engine::Hold& hold : call.engine.holds()) {
    reply.model_ids.push_back(hold.model_id);
    reply.attempts.push_back(hold.attempt);
    reply.homes.push_back(hold.home.text());
    reply.layers.push_back(hold.layers.count);
    reply.sums.push_back(hold.layers.sum);
  }
  return reply;
}

}  // namespace parsl_tl
