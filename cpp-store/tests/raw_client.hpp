// Requests as they are, to a server in this process.
#pragma once

#include "all_requests.hpp"
#include "loopback.hpp"
#include "server.hpp"

namespace parsl_tl::testing {

inline std::span<const std::uint8_t> as_bytes(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// A client that says in each header what its test wants it to say.
class RawClient {
 public:
  explicit RawClient(Server& server, std::uint8_t number = 1) : server_(server) {
    header.client[0] = number;
  }

  /// Gives the reply, or throws what the server replied.
  template <typename Request>
  typename Request::Reply ask(const Request& request, Exchange& exchange,
                              std::uint64_t bulk_bytes = 0) {
    header.kind = Request::kKind;
    header.bulk_bytes = bulk_bytes;
    std::string message = start_request(header);
    encode_message(request, message);
    const std::string reply = server_.handle(as_bytes(message), exchange);
    return decode_message<typename Request::Reply>(parse_reply(reply));
  }
  template <typename Request>
  typename Request::Reply ask(const Request& request) {
    MemoryExchange exchange({}, 0, 1);
    return ask(request, exchange);
  }

  RequestHeader header;

 private:
  Server& server_;
};

}  // namespace parsl_tl::testing
