#include "handlers.hpp"
#include "page.hpp"

namespace parsl_tl {

ListHoldsReply handle(CallContext& call, const ListHoldsRequest& request) {
  ListHoldsReply reply;
  auto holds = call.engine.holds();
  reply.is_last = cut_page(holds, request.after);
  for (const Engine::Hold& hold : holds) {
    reply.model_ids.push_back(hold.model_id);
    reply.attempts.push_back(hold.attempt);
    reply.homes.push_back(hold.home.text());
    reply.layers.push_back(hold.layers.count);
    reply.sums.push_back(hold.layers.sum);
  }
  return reply;
}

}  // namespace parsl_tl
