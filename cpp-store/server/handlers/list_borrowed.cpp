#include "handlers.hpp"

namespace parsl_tl {

ListBorrowedReply handle(CallContext& call, const ListBorrowedRequest&) {
  ListBorrowedReply reply;
  for (const Engine::Borrowed& borrowed : call.engine.borrowed()) {
    reply.model_ids.push_back(borrowed.model_id);
    reply.places.push_back(borrowed.place);
    reply.layers.push_back(borrowed.layers.count);
    reply.sums.push_back(borrowed.layers.sum);
  }
  return reply;
}

}  // namespace parsl_tl
