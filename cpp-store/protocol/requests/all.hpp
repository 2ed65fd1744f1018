// Every request that there is. The server's table, the declarations of its handlers, and the tests
// of all messages follow from this list.
#pragma once

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
#include "requests/list_followed.hpp"
#include "requests/list_holds.hpp"
#include "requests/list_models.hpp"
#include "requests/log_state.hpp"
#include "requests/open_model.hpp"
#include "requests/ping.hpp"
#include "requests/put.hpp"
#include "requests/put_architectures.hpp"
#include "requests/read_layers.hpp"
#include "requests/read_log.hpp"
#include "requests/read_segment.hpp"
#include "requests/reference_count.hpp"
#include "requests/release.hpp"
#include "requests/retire.hpp"
#include "requests/segment_sizes.hpp"
#include "requests/settle.hpp"
#include "requests/stats.hpp"
#include "requests/status.hpp"
#include "requests/stop.hpp"
#include "requests/verify.hpp"

/// X(message, name): the name stands in a server's status, which lists requests in this order.
#define PARSL_TL_REQUESTS(X)                      \
  X(HelloRequest, "hello")                        \
  X(PingRequest, "ping")                          \
  X(StatusRequest, "status")                      \
  X(StopRequest, "stop")                          \
  X(GoodbyeRequest, "goodbye")                    \
  X(JoinRequest, "join")                          \
  X(AdoptRequest, "adopt")                        \
  X(BeginPutRequest, "begin_put")                 \
  X(SettleRequest, "settle")                      \
  X(PutMessage, "put")                            \
  X(PutArchitecturesRequest, "put_architectures") \
  X(RetireRequest, "retire")                      \
  X(HoldMessage, "hold")                          \
  X(ReleaseRequest, "release")                    \
  X(FindDonorsRequest, "best_ancestors")          \
  X(OpenModelRequest, "open_model")               \
  X(ReadLayersRequest, "read_layers")             \
  X(DescribeModelRequest, "describe_model")       \
  X(ArchitectureRequest, "architecture")          \
  X(AncestorsRequest, "ancestors")                \
  X(DescendantsRequest, "descendants")            \
  X(ReferenceCountRequest, "reference_count")     \
  X(ContainsRequest, "contains")                  \
  X(CountModelsRequest, "count_models")           \
  X(ListModelsRequest, "list_models")             \
  X(ListHoldsRequest, "list_holds")               \
  X(ListBorrowedRequest, "list_borrowed")         \
  X(StatsRequest, "stats")                        \
  X(VerifyRequest, "verify")                      \
  X(CompactRequest, "compact")                    \
  X(FoldRequest, "fold")                          \
  X(LogStateRequest, "log_state")                 \
  X(ReadLogRequest, "read_log")                   \
  X(SegmentSizesRequest, "segment_sizes")         \
  X(ReadSegmentRequest, "read_segment")           \
  X(ListFollowedRequest, "list_followed")
