// What keeps all servers small.
#include "remote_store.hpp"
#include "requests/compact.hpp"
#include "requests/contains.hpp"
#include "requests/fold.hpp"
#include "requests/list_holds.hpp"
#include "requests/release.hpp"

namespace parsl_tl {
namespace {

constexpr std::size_t kAtOnce = 100'000;

}  // namespace

/// Lets go of what clients held that died before they stored the model, or while they retired it.
std::uint64_t RemoteStore::release_orphans() {
  std::uint64_t freed = 0;
  for (const auto& provider : providers()) {
    const ListHoldsReply holds = provider->ask(ListHoldsRequest{});
    std::vector<std::vector<std::uint64_t>> by_home(providers().size());
    for (std::size_t i = 0; i < holds.model_ids.size() && i < holds.ages_ns.size(); ++i) {
      if (std::chrono::nanoseconds(holds.ages_ns[i]) < options_.young) continue;
      by_home[home(holds.model_ids[i]).index()].push_back(holds.model_ids[i]);
    }
    for (const auto& ids : by_home) {
      for (std::size_t first = 0; first < ids.size(); first += kAtOnce) {
        const auto end = std::min(ids.size(), first + kAtOnce);
        const ContainsRequest request{{ids.begin() + static_cast<std::ptrdiff_t>(first),
                                       ids.begin() + static_cast<std::ptrdiff_t>(end)}};
        const ContainsReply living = home(ids[first]).ask(request);
        for (std::size_t i = 0; i < living.found.size() && i < request.model_ids.size(); ++i) {
          if (living.found[i] != 0) continue;
          freed += provider->ask(ReleaseRequest{request.model_ids[i]}).bytes_freed;
        }
      }
    }
  }
  return freed;
}

CompactReport RemoteStore::compact() {
  require_writable();
  if (!is_alone()) release_orphans();
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
