// How many models there are on this server.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct CountModelsReply {
  std::uint64_t models = 0;

  static void fields(auto& self, auto&& field) { field("models", self.models); }
};

struct CountModelsRequest {
  static constexpr RequestKind kKind = RequestKind::kCountModels;
  static constexpr bool kMayStandIn = true;
  using Reply = CountModelsReply;
  static void fields(auto&, auto&&) {}
};

}  // namespace parsl_tl
