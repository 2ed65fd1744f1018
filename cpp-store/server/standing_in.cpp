// A server that follows another one answers questions in its name, from its copy.
#include "dispatch.hpp"
#include "errors.hpp"
#include "following.hpp"

namespace parsl_tl {

std::shared_ptr<PinnedModel> CallContext::pin(std::uint64_t model_id) const {
  return stands_for ? stands_for->pin_at(place, model_id) : engine.pin(model_id);
}

CallContext context_for(Server& server, const RequestHeader& header, const RequestEntry& entry,
                        Client& client, Exchange& exchange) {
  CallContext own{server, server.engine(), client, exchange, header.bulk_bytes, nullptr};
  const bool is_own = !header.store.is_set() || header.store == server.engine().store();
  if (is_own || server.following() == nullptr) return own;
  const Following::Followed followed = server.following()->server_with(header.store);
  if (followed.copy == nullptr) return own;
  if (!entry.may_stand_in) {
    throw StoreException(ErrorCode::kPermission,
                         "this server follows store " + header.store.text() +
                             ", and answers questions in its name; it changes nothing of it, and "
                             "looks after nothing");
  }
  return {server,         followed.copy->engine(), client, exchange, header.bulk_bytes,
          followed.store, followed.copy->place()};
}

}  // namespace parsl_tl
