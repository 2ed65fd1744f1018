// Makes a snapshot of the catalog.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct FoldReply {
  static void fields(auto&, auto&&) {}
};

struct FoldRequest {
  static constexpr RequestKind kKind = RequestKind::kFold;
  using Reply = FoldReply;
  static void fields(auto&, auto&&) {}
};

}  // namespace parsl_tl
