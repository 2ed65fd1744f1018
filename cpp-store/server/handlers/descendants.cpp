#include "handlers.hpp"

namespace parsl_tl {

DescendantsReply handle(CallContext& call, const DescendantsRequest& request) {
  DescendantsReply reply;
  std::vector<Engine*> engines = followed_engines(call);
  engines.insert(engines.begin(), &call.engine);
  for (Engine* const engine : engines) {
    for (const LineageLink& link : engine->links_below(request.model_ids)) {
      reply.children.push_back(link.child);
      reply.parents.push_back(link.parent);
    }
  }
  return reply;
}

}  // namespace parsl_tl
