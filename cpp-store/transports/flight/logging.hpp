// gRPC's log, which it writes to the standard error.
#pragma once

#include <cstdlib>
#include <mutex>

namespace parsl_tl {

/// What gRPC has to say comes with the errors of its calls as well. Its log can only be turned off
/// in the environment, before its first use; who has set a level there keeps it.
inline void silence_grpc() {
  static std::once_flag once;
  std::call_once(once, [] { ::setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0); });
}

}  // namespace parsl_tl
