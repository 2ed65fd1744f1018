// What keeps all servers small.
#include "remote_store.hpp"
#include "requests/compact.hpp"
#include "requests/fold.hpp"

namespace parsl_tl {
CompactReport RemoteStore::compact() {
  require_writable();
  release_orphans();
  CompactReport report;
  for (const CompactReply& reply : ask_all(CompactRequest{})) {
    report.segments_rewritten += reply.segments_rewritten;
    report.bytes_freed += reply.bytes_freed;
  }
  return report;
}

void RemoteStore::fold() {
  require_writable();
  ask_all(FoldRequest{});
}

}  // namespace parsl_tl
