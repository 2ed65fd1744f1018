// Nothing but the way there and back.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct PingReply {
  static void fields(auto&, auto&&) {}
};

struct PingRequest {
  static constexpr RequestKind kKind = RequestKind::kPing;
  using Reply = PingReply;
  static void fields(auto&, auto&&) {}
};

}  // namespace parsl_tl
