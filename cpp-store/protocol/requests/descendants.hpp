// All children, and theirs, that this server knows below the given models, with their parents.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct DescendantsReply {
  std::vector<std::uint64_t> children;
  std::vector<std::uint64_t> parents;

  static void fields(auto& self, auto&& field) {
    field("children", self.children);
    field("parents", self.parents);
  }
};

struct DescendantsRequest {
  static constexpr RequestKind kKind = RequestKind::kDescendants;
  static constexpr bool kMayStandIn = true;
  using Reply = DescendantsReply;
  std::vector<std::uint64_t> model_ids;

  static void fields(auto& self, auto&& field) { field("model_ids", self.model_ids); }
};

}  // namespace parsl_tl
