#include "following.hpp"
#include "handlers.hpp"

namespace parsl_tl {

StatsReply handle(CallContext& call, const StatsRequest&) {
  StatsReply reply;
  for (const auto& [name, value] : call.engine.stats()) {
    reply.names.push_back(name);
    reply.values.push_back(value);
  }
  const Following* const following = call.following();
  if (following == nullptr) return reply;
  std::uint64_t models = 0, behind = 0, here = 0, pulled = 0;
  for (const auto& store : following->stores()) {
    const FollowedStore::State state = store->state();
    models += state.models;
    behind += state.models_behind;
    here += state.bytes_here;
    pulled += state.bytes_pulled;
  }
  for (const auto& [name, value] :
       {std::pair<const char*, std::uint64_t>{"followed_models", models},
        {"followed_models_behind", behind},
        {"bytes_followed_here", here},
        {"bytes_followed_pulled", pulled}}) {
    reply.names.emplace_back(name);
    reply.values.push_back(value);
  }
  return reply;
}

}  // namespace parsl_tl
