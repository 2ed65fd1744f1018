#include "handlers.hpp"

namespace parsl_tl {

DescendantsReply handle(CallContext& call, const DescendantsRequest& request) {
  DescendantsReply reply;
  for (const LineageLink& link : call.engine.links_below(request.model_ids)) {
    reply.children.push_back(link.child);
    reply.parents.push_back(link.parent);
  }
  return reply;
}

}  // namespace parsl_tl
