#include "dispatch.hpp"

#include <algorithm>

#include "errors.hpp"
#include "handlers/handlers.hpp"

namespace parsl_tl {
namespace {

template <typename Request>
std::string answer(CallContext& call, std::span<const std::uint8_t> message) {
  std::string reply = start_reply();
  encode_message(handle(call, decode_message<Request>(message)), reply);
  return reply;
}

template <typename Request>
RequestEntry entry(const char* name) {
  return {Request::kKind, name, &answer<Request>, 0};
}

}  // namespace

const std::vector<RequestEntry>& all_requests() {
  static const auto table = [] {
    std::vector<RequestEntry> made{
        entry<HelloRequest>("hello"),
        entry<PingRequest>("ping"),
        entry<StatusRequest>("status"),
        entry<StopRequest>("stop"),
        entry<GoodbyeRequest>("goodbye"),
        entry<JoinRequest>("join"),
        entry<AdoptRequest>("adopt"),
        entry<BeginPutRequest>("begin_put"),
        entry<SettleRequest>("settle"),
        entry<PutMessage>("put"),
        entry<PutArchitecturesRequest>("put_architectures"),
        entry<RetireRequest>("retire"),
        entry<HoldMessage>("hold"),
        entry<ReleaseRequest>("release"),
        entry<FindDonorsRequest>("best_ancestors"),
        entry<OpenModelRequest>("open_model"),
        entry<ReadLayersRequest>("read_layers"),
        entry<DescribeModelRequest>("describe_model"),
        entry<ArchitectureRequest>("architecture"),
        entry<AncestorsRequest>("ancestors"),
        entry<DescendantsRequest>("descendants"),
        entry<ReferenceCountRequest>("reference_count"),
        entry<ContainsRequest>("contains"),
        entry<CountModelsRequest>("count_models"),
        entry<ListModelsRequest>("list_models"),
        entry<ListHoldsRequest>("list_holds"),
        entry<ListBorrowedRequest>("list_borrowed"),
        entry<StatsRequest>("stats"),
        entry<VerifyRequest>("verify"),
        entry<CompactRequest>("compact"),
        entry<FoldRequest>("fold"),
    };
    for (std::size_t i = 0; i < made.size(); ++i) made[i].place = i;
    return made;
  }();
  return table;
}

const RequestEntry& find_request(RequestKind kind) {
  const auto& table = all_requests();
  const auto found = std::find_if(table.begin(), table.end(),
                                  [kind](const RequestEntry& entry) { return entry.kind == kind; });
  if (found == table.end()) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "unknown request " + std::to_string(static_cast<unsigned>(kind)));
  }
  return *found;
}

}  // namespace parsl_tl
