#include "handlers.hpp"
#include "owned_file.hpp"

namespace parsl_tl {

SegmentSizesReply handle(CallContext& call, const SegmentSizesRequest& request) {
  SegmentSizesReply reply;
  for (const std::uint64_t owner : request.owners) {
    const auto file = owned_file(call.engine, owner);
    reply.sizes.push_back(file ? file->size() : 0);
    reply.digests.push_back(file ? segment_digest(*file) : 0);
  }
  return reply;
}

}  // namespace parsl_tl
