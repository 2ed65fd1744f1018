#include "handlers.hpp"

namespace parsl_tl {

CompactReply handle(CallContext& call, const CompactRequest&) {
  const CompactReport report = call.engine.compact();
  return {report.segments_rewritten, report.bytes_freed};
}

}  // namespace parsl_tl
