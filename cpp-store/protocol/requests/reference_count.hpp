// How many living models hold an owner's layer.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct ReferenceCountReply {
  std::uint64_t references = 0;

  static void fields(auto& self, auto&& field) { field("references", self.references); }
};

struct ReferenceCountRequest {
  static constexpr RequestKind kKind = RequestKind::kReferenceCount;
  static constexpr bool kMayStandIn = true;
  using Reply = ReferenceCountReply;
  std::uint64_t owner = 0;
  std::uint64_t layer_key = 0;

  static void fields(auto& self, auto&& field) {
    field("owner", self.owner);
    field("layer_key", self.layer_key);
  }
};

}  // namespace parsl_tl
