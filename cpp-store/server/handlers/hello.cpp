#include "errors.hpp"
#include "following.hpp"
#include "handlers.hpp"
#include "same_machine.hpp"

namespace parsl_tl {
namespace {

[[noreturn]] void refuse_to_stand_in(const std::string& why) {
  throw StoreException(ErrorCode::kWrongStore,
                       "the server is named as a replica, and " + why +
                           "; name one that follows the store (parsl-tl store serve --follow)");
}

/// The copy that is asked for; null where the server answers for itself.
ServerCopy* copy_for(CallContext& call, const HelloRequest& request) {
  // Promoted, a replica is the store itself.
  if (!request.at_replica || request.store == call.engine.store().text()) return nullptr;
  const Following* const following = call.server.following();
  if (following == nullptr) {
    if (request.store.empty()) return nullptr;
    refuse_to_stand_in("follows no other store");
  }
  if (!request.store.empty()) {
    if (auto* const copy = following->server_with(parse_store(request.store)).copy) return copy;
    refuse_to_stand_in("has no copy of store " + request.store);
  }
  if (auto* const copy = following->only_server_at(request.place, request.count).copy) return copy;
  refuse_to_stand_in(
      "follows several stores, or one of another number of servers, or has no copy "
      "yet: while the store itself is away, nobody can tell which is meant");
}

}  // namespace

HelloReply handle(CallContext& call, const HelloRequest& request) {
  if (request.hash_scheme != kHashScheme) {
    throw StoreException(ErrorCode::kFormat, "the client names layers by scheme " +
                                                 std::to_string(request.hash_scheme) +
                                                 ", the server by scheme " +
                                                 std::to_string(kHashScheme) +
                                                 "; install the same parsl_tl on both sides");
  }
  ServerCopy* const copy = copy_for(call, request);
  Engine& engine = copy != nullptr ? copy->engine() : call.engine;
  HelloReply reply;
  reply.version = call.server.options().version;
  reply.boot_id = boot_id();
  reply.folder = engine.folder();
  const FileIdentity identity = identity_of(reply.folder);
  reply.folder_device = identity.device;
  reply.folder_inode = identity.inode;
  reply.checksums = call.server.options().checksums;
  const Membership membership = engine.membership();
  reply.server_index = membership.index;
  reply.server_count = membership.count;
  reply.is_empty = engine.is_empty();
  reply.keeps_ms = static_cast<std::uint64_t>(
      std::chrono::milliseconds(call.server.clients().limits().silence).count());
  reply.hash_scheme = kHashScheme;
  reply.store = engine.store().text();
  reply.stores = texts_of(*engine.stores());
  reply.stands_in = copy != nullptr;
  return reply;
}

}  // namespace parsl_tl
