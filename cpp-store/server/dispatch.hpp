// The table of requests: which handler answers which kind.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "server.hpp"

namespace parsl_tl {

/// What a handler may use.
struct CallContext {
  Server& server;
  Engine& engine;
  Client& client;
  Exchange& exchange;
  std::uint64_t bulk_bytes;  // what the client says of the data beside its request
};

struct RequestEntry {
  RequestKind kind;
  const char* name;
  std::string (*answer)(CallContext& call, std::span<const std::uint8_t> message);
  std::size_t place;  // in the table
};

const std::vector<RequestEntry>& all_requests();
/// Throws kInvalidValue for a kind that there is not.
const RequestEntry& find_request(RequestKind kind);

}  // namespace parsl_tl
