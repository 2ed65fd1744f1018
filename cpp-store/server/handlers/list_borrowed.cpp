#include "handlers.hpp"
#include "page.hpp"

namespace parsl_tl {

ListBorrowedReply handle(CallContext& call, const ListBorrowedRequest& request) {
  ListBorrowedReply reply;
  auto all = call.engine.borrowed();
  reply.is_last = cut_page(all, request.after);
  for (const Engine::Borrowed& borrowed : all) {
    reply.model_ids.push_back(borrowed.model_id);
    reply.places.push_back(borrowed.place);
    reply.layers.push_back(borrowed.layers.count);
    reply.sums.push_back(borrowed.layers.sum);
  }
  return reply;
}

}  // namespace parsl_tl
