#include "errors.hpp"
#include "handlers.hpp"

namespace parsl_tl {

SettleReply handle(CallContext& call, const SettleRequest& request) {
  if (request.attempts.size() != request.model_ids.size()) {
    throw StoreException(ErrorCode::kInvalidValue, "each model has an attempt");
  }
  SettleReply reply;
  for (std::size_t i = 0; i < request.model_ids.size(); ++i) {
    const std::uint64_t id = request.model_ids[i];
    // In this order: an attempt ends after its model is stored.
    const bool is_under_way = call.server.attempts().is_under_way(
        id, request.attempts[i], static_cast<SettleHow>(request.how));
    const auto borrowed = call.engine.borrowed_by(id, request.place);
    const AttemptState state = borrowed       ? AttemptState::kStored
                               : is_under_way ? AttemptState::kUnderWay
                                              : AttemptState::kOver;
    reply.states.push_back(static_cast<std::uint8_t>(state));
    reply.layers.push_back(borrowed ? borrowed->count : 0);
    reply.sums.push_back(borrowed ? borrowed->sum : 0);
  }
  return reply;
}

}  // namespace parsl_tl
