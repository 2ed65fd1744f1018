// The table of requests: which handler answers which kind.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "server.hpp"

namespace parsl_tl {

class FollowedStore;

/// What a handler may use.
struct CallContext {
  Server& server;
  Engine& engine;  // the server's own; of a server that it stands in for, the copy's
  Client& client;
  Exchange& exchange;
  std::uint64_t bulk_bytes;                   // what the client says of the data beside its request
  std::shared_ptr<FollowedStore> stands_for;  // null: it answers for itself
  std::size_t place = 0;                      // of the server that it stands in for, in its store

  /// The followed stores that the answer is to come from, too; null if there are none.
  Following* following() const noexcept { return stands_for ? nullptr : server.following(); }
  /// As Engine::pin, or as FollowedStore::pin for whom the server stands in.
  std::shared_ptr<PinnedModel> pin(std::uint64_t model_id) const;
};

struct RequestEntry {
  RequestKind kind;
  const char* name;
  std::string (*answer)(CallContext& call, std::span<const std::uint8_t> message);
  std::size_t place;  // in the table
  bool may_stand_in;  // it may be answered from the copy of a server that is followed
};

/// For whom the request is: the server, or one that it follows and stands in for. Throws
/// kPermission for what only that one does.
CallContext context_for(Server& server, const RequestHeader& header, const RequestEntry& entry,
                        Client& client, Exchange& exchange);

const std::vector<RequestEntry>& all_requests();
/// Throws kInvalidValue for a kind that there is not.
const RequestEntry& find_request(RequestKind kind);

}  // namespace parsl_tl
