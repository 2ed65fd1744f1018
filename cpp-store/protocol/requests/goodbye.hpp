// A client closes: nothing is kept for it any more.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct GoodbyeReply {
  static void fields(auto&, auto&&) {}
};

struct GoodbyeRequest {
  static constexpr RequestKind kKind = RequestKind::kGoodbye;
  using Reply = GoodbyeReply;
  static void fields(auto&, auto&&) {}
};

}  // namespace parsl_tl
