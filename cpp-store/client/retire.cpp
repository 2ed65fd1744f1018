#include "requests/retire.hpp"

#include <algorithm>

#include "errors.hpp"
#include "remote_store.hpp"

namespace parsl_tl {

std::uint64_t RemoteStore::retire(std::uint64_t id) {
  require_writable();
  const ServerConnection& own = home(id);
  RetireReply reply;
  bool repeated = false;
  try {
    reply = home(id).ask(RetireRequest{id}, {}, &repeated);
  } catch (const StoreException& error) {
    // The answer was lost, and so is what the model held: all servers let go of it.
    if (!repeated || error.code() != ErrorCode::kNotFound) throw;
    for (std::uint64_t i = 0; i < connections().size(); ++i) reply.owners.push_back(i);
  }
  forget(id);
  // The model is gone; what it held elsewhere follows. Should this process die here, what stays is
  // found when the store is compacted.
  std::vector<std::uint32_t> servers;
  for (const std::uint64_t owner : reply.owners) {
    const std::uint32_t server = home(owner).index();
    if (server != own.index()) servers.push_back(server);
  }
  std::sort(servers.begin(), servers.end());
  servers.erase(std::unique(servers.begin(), servers.end()), servers.end());
  return reply.bytes_freed + release_holds(id, servers);
}

}  // namespace parsl_tl
