#include "handlers.hpp"

namespace parsl_tl {

AncestorsReply handle(CallContext& call, const AncestorsRequest& request) {
  // A line leads on in the store in which an ancestor lives, living or retired.
  const auto line_in = [&](Engine& engine) -> std::optional<AncestorsReply> {
    if (!engine.was_used(request.model_id)) return std::nullopt;
    return AncestorsReply{true, engine.ancestors(request.model_id)};
  };
  if (auto line = line_in(call.engine)) return *line;
  for (Engine* const engine : followed_engines(call)) {
    if (auto line = line_in(*engine)) return *line;
  }
  return {};
}

}  // namespace parsl_tl
