// What it takes to follow a store: its servers' logs, and the files of their weights.
#include "download.hpp"
#include "errors.hpp"
#include "remote_store.hpp"
#include "requests/log_state.hpp"
#include "requests/read_log.hpp"
#include "requests/read_segment.hpp"

namespace parsl_tl {

LogStateReply RemoteStore::log_state(std::size_t server, const LogStamp& known) {
  require_open();
  return connections().at(server)->ask(
      LogStateRequest{known.generation, known.position, known.last_frame, known.last_checksum});
}

void RemoteStore::read_log(std::size_t server, std::uint64_t generation, std::uint64_t position,
                           std::span<std::uint8_t> bytes) {
  require_open();
  GivenMemory memory({bytes});
  connections().at(server)->ask(ReadLogRequest{generation, position}, {{}, &memory});
}

SegmentSizesReply RemoteStore::segment_sizes(std::size_t server,
                                             std::vector<std::uint64_t> owners) {
  require_open();
  const std::size_t count = owners.size();
  auto reply = connections().at(server)->ask(SegmentSizesRequest{std::move(owners)});
  if (reply.sizes.size() != count || reply.digests.size() != count) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "malformed reply: a size for each of the owners is due");
  }
  return reply;
}

void RemoteStore::read_segment(std::size_t server, std::uint64_t owner, std::uint64_t size,
                               std::uint64_t offset, std::span<std::uint8_t> bytes) {
  require_open();
  GivenMemory memory({bytes});
  connections().at(server)->ask(ReadSegmentRequest{owner, offset, size}, {{}, &memory});
}

}  // namespace parsl_tl
