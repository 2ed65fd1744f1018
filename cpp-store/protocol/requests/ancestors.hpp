// A model's line of parents, as far as this server knows it: the last may go on elsewhere.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct AncestorsReply {
  bool known = false;  // whether a model of this server had the id
  std::vector<std::uint64_t> ancestors;

  static void fields(auto& self, auto&& field) {
    field("known", self.known);
    field("ancestors", self.ancestors);
  }
};

struct AncestorsRequest {
  static constexpr RequestKind kKind = RequestKind::kAncestors;
  static constexpr bool kMayStandIn = true;
  using Reply = AncestorsReply;
  std::uint64_t model_id = 0;

  static void fields(auto& self, auto&& field) { field("model_id", self.model_id); }
};

}  // namespace parsl_tl
