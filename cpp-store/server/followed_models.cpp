// Where handlers find models of followed stores.
#include "following.hpp"
#include "handlers/handlers.hpp"

namespace parsl_tl {

std::shared_ptr<FollowedStore> followed_store_of(CallContext& call, std::uint64_t model_id) {
  const Following* const following = call.following();
  if (following == nullptr || call.engine.contains(model_id)) return nullptr;
  return following->store_of(model_id);
}

Engine& engine_of(CallContext& call, std::uint64_t model_id) {
  // A copy stays as long as the server follows: as long as there are requests.
  const auto store = followed_store_of(call, model_id);
  ServerCopy* const copy = store == nullptr ? nullptr : store->holder_of(model_id);
  return copy == nullptr ? call.engine : copy->engine();
}

std::vector<Engine*> followed_engines(CallContext& call) {
  std::vector<Engine*> engines;
  const Following* const following = call.following();
  if (following == nullptr) return engines;
  for (const auto& store : following->stores()) {
    const auto more = store->engines();
    engines.insert(engines.end(), more.begin(), more.end());
  }
  return engines;
}

}  // namespace parsl_tl
