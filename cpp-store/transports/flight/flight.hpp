// Arrow Flight (gRPC) as a transport: over TCP, over TCP with TLS, and over a Unix socket.
//
// Addresses are grpc+tcp://host:port, grpc+tls://host:port and grpc+unix:///absolute/path. A call
// without bulk data is an action, one with an upload a put, one with a download a get; wire.hpp
// says what they carry.
#pragma once

#include <memory>

#include "transport.hpp"

namespace parsl_tl {

/// A channel to this address. Connects at its first call; throws kInvalidValue only if the address
/// is none.
std::shared_ptr<Channel> connect_flight(const ConnectOptions& options);

/// A server that answers until it is stopped or let go of. Throws kInvalidValue for an address or
/// a certificate that cannot be used, kIo if the address is taken.
std::shared_ptr<Listener> listen_flight(const ListenOptions& options,
                                        std::shared_ptr<Handler> handler);

}  // namespace parsl_tl
