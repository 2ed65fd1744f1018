// Ends the server, as SIGTERM does.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct StopReply {
  static void fields(auto&, auto&&) {}
};

struct StopRequest {
  static constexpr RequestKind kKind = RequestKind::kStop;
  using Reply = StopReply;
  static void fields(auto&, auto&&) {}
};

}  // namespace parsl_tl
