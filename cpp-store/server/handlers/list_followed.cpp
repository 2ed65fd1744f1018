#include "following.hpp"
#include "handlers.hpp"

namespace parsl_tl {

ListFollowedReply handle(CallContext& call, const ListFollowedRequest&) {
  ListFollowedReply reply;
  if (call.server.following() == nullptr) return reply;
  for (const auto& store : call.server.following()->stores()) {
    const FollowedStore::State state = store->state();
    reply.names.push_back(store->name());
    reply.stores.push_back(state.store);
    std::string folders;
    for (const std::string& folder : state.folders)
      folders += (folders.empty() ? "" : " ") + folder;
    reply.folders.push_back(std::move(folders));
    reply.problems.push_back(state.problem);
    reply.models.push_back(state.models);
    reply.models_behind.push_back(state.models_behind);
    reply.bytes_behind.push_back(state.bytes_behind);
    reply.seconds_silent.push_back(state.seconds_silent);
    reply.bytes_here.push_back(state.bytes_here);
    reply.bytes_pulled.push_back(state.bytes_pulled);
    reply.segments_pulled.push_back(state.segments_pulled);
  }
  return reply;
}

}  // namespace parsl_tl
