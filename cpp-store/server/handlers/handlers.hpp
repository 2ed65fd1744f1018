// What answers each request: one function, in the file of the request's name.
#pragma once

#include "dispatch.hpp"
#include "requests/adopt.hpp"
#include "requests/ancestors.hpp"
#include "requests/architecture.hpp"
#include "requests/begin_put.hpp"
#include "requests/compact.hpp"
#include "requests/contains.hpp"
#include "requests/count_models.hpp"
#include "requests/descendants.hpp"
#include "requests/describe_model.hpp"
#include "requests/find_donors.hpp"
#include "requests/fold.hpp"
#include "requests/goodbye.hpp"
#include "requests/hello.hpp"
#include "requests/hold.hpp"
#include "requests/join.hpp"
#include "requests/list_borrowed.hpp"
#include "requests/list_holds.hpp"
#include "requests/list_models.hpp"
#include "requests/open_model.hpp"
#include "requests/ping.hpp"
#include "requests/put.hpp"
#include "requests/put_architectures.hpp"
#include "requests/read_layers.hpp"
#include "requests/reference_count.hpp"
#include "requests/release.hpp"
#include "requests/retire.hpp"
#include "requests/settle.hpp"
#include "requests/stats.hpp"
#include "requests/status.hpp"
#include "requests/stop.hpp"
#include "requests/verify.hpp"

namespace parsl_tl {

HelloReply handle(CallContext& call, const HelloRequest& request);
PingReply handle(CallContext& call, const PingRequest& request);
StatusReply handle(CallContext& call, const StatusRequest& request);
GoodbyeReply handle(CallContext& call, const GoodbyeRequest& request);
StopReply handle(CallContext& call, const StopRequest& request);
JoinReply handle(CallContext& call, const JoinRequest& request);
AdoptReply handle(CallContext& call, const AdoptRequest& request);
BeginPutReply handle(CallContext& call, const BeginPutRequest& request);
SettleReply handle(CallContext& call, const SettleRequest& request);
PutReply handle(CallContext& call, const PutMessage& request);
PutArchitecturesReply handle(CallContext& call, const PutArchitecturesRequest& request);
RetireReply handle(CallContext& call, const RetireRequest& request);
HoldReply handle(CallContext& call, const HoldMessage& request);
ReleaseReply handle(CallContext& call, const ReleaseRequest& request);
FindDonorsReply handle(CallContext& call, const FindDonorsRequest& request);
OpenModelReply handle(CallContext& call, const OpenModelRequest& request);
/// What OpenModelRequest gives, of a model that was living when it was found a moment ago: retired
/// since, it may be opened still. Throws kNotFound if it is gone.
OpenModelReply open_found(CallContext& call, std::uint64_t model_id, std::uint64_t lease);
ReadLayersReply handle(CallContext& call, const ReadLayersRequest& request);
DescribeModelReply handle(CallContext& call, const DescribeModelRequest& request);
ArchitectureReply handle(CallContext& call, const ArchitectureRequest& request);
AncestorsReply handle(CallContext& call, const AncestorsRequest& request);
DescendantsReply handle(CallContext& call, const DescendantsRequest& request);
ReferenceCountReply handle(CallContext& call, const ReferenceCountRequest& request);
ContainsReply handle(CallContext& call, const ContainsRequest& request);
CountModelsReply handle(CallContext& call, const CountModelsRequest& request);
ListModelsReply handle(CallContext& call, const ListModelsRequest& request);
ListHoldsReply handle(CallContext& call, const ListHoldsRequest& request);
ListBorrowedReply handle(CallContext& call, const ListBorrowedRequest& request);
StatsReply handle(CallContext& call, const StatsRequest& request);
VerifyReply handle(CallContext& call, const VerifyRequest& request);
CompactReply handle(CallContext& call, const CompactRequest& request);
FoldReply handle(CallContext& call, const FoldRequest& request);

}  // namespace parsl_tl
