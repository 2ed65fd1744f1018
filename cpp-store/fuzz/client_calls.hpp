// Every call of a client, as the target for replies makes them and as its seeds are recorded.
#pragma once

#include "remote_store.hpp"

namespace parsl_tl::fuzz {

constexpr std::size_t kClientCalls = 18;

/// Makes call number `call % kClientCalls`, and uses what it gives.
void make_client_call(RemoteStore& store, std::size_t call);

}  // namespace parsl_tl::fuzz
