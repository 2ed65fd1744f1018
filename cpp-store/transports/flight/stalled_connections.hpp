// Connections whose other end takes nothing any more: it is frozen, or the network between is gone.
//
// gRPC keeps the deadlines of its calls, and cuts them when a server stops, except while the kernel
// takes no more bytes of a message: such a call waits for its connection to fail, and so does every
// other that has something to write there. So the connection is made to fail: a socket whose output
// does not move is shut down. What gRPC's sockets are, only the kernel tells.
#pragma once

#include "address.hpp"

namespace parsl_tl {

enum class Side { kClient, kServer };

/// Shuts down those sockets of this process that are connections to the server at this address, or
/// connections of this server's clients, and whose output stands still for a moment.
void cut_stalled_connections(const FlightAddress& address, Side side);

}  // namespace parsl_tl
