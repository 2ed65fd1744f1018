#include "handlers.hpp"
#include "owned_file.hpp"

namespace parsl_tl {

ReadSegmentReply handle(CallContext& call, const ReadSegmentRequest& request) {
  const auto file = owned_file(call.engine, request.owner);
  if (!file) {
    throw StoreException(ErrorCode::kNotFound,
                         "model " + hex_id(request.owner) + " owns no weights here any more");
  }
  const auto mapping = std::make_shared<const Mapping>(*file);
  const std::uint64_t size = mapping->size();
  if (size != request.size) {
    // Compaction wrote it anew since it was asked how large it is.
    throw StoreException(ErrorCode::kStale, "the file of model " + hex_id(request.owner) +
                                                " takes " + std::to_string(size) +
                                                " bytes by now; ask again");
  }
  if (request.offset > size || call.bulk_bytes > size - request.offset) {
    throw StoreException(ErrorCode::kInvalidValue, std::to_string(call.bulk_bytes) +
                                                       " bytes from byte " +
                                                       std::to_string(request.offset) +
                                                       " on, of a file of " + std::to_string(size));
  }
  call.exchange.send({{mapping->data() + request.offset, call.bulk_bytes}}, mapping);
  call.server.count_sent(call.bulk_bytes);
  return {};
}

}  // namespace parsl_tl
