#include "errors.hpp"
#include "handlers.hpp"
#include "same_machine.hpp"

namespace parsl_tl {

HelloReply handle(CallContext& call, const HelloRequest& request) {
  if (request.hash_scheme != kHashScheme) {
    throw StoreException(ErrorCode::kFormat, "the client names layers by scheme " +
                                                 std::to_string(request.hash_scheme) +
                                                 ", the server by scheme " +
                                                 std::to_string(kHashScheme) +
                                                 "; install the same parsl_tl on both sides");
  }
  HelloReply reply;
  reply.version = call.server.options().version;
  reply.boot_id = boot_id();
  reply.folder = call.engine.folder();
  const FileIdentity identity = identity_of(reply.folder);
  reply.folder_device = identity.device;
  reply.folder_inode = identity.inode;
  reply.checksums = call.server.options().checksums;
  const Membership membership = call.engine.membership();
  reply.server_index = membership.index;
  reply.server_count = membership.count;
  reply.is_empty = call.engine.is_empty();
  reply.keeps_ms = static_cast<std::uint64_t>(
      std::chrono::milliseconds(call.server.clients().limits().silence).count());
  reply.hash_scheme = kHashScheme;
  reply.store = call.engine.store().text();
  reply.stores = texts_of(*call.engine.stores());
  return reply;
}

}  // namespace parsl_tl
