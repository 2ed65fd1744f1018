// Thallium (Mochi) as a transport: requests are RPCs, bulk data moves by remote memory access.
//
// Any address of Mercury will do: ofi+tcp://, ofi+verbs://, ofi+cxi:// between nodes, na+sm://
// between processes of one.
#pragma once

#include <memory>

#include "transport.hpp"

namespace parsl_tl {

std::shared_ptr<Channel> connect_thallium(const ConnectOptions& options);
std::shared_ptr<Listener> listen_thallium(const ListenOptions& options,
                                          std::shared_ptr<Handler> handler);

}  // namespace parsl_tl
