// Which of these models are living ones of this server.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct ContainsReply {
  std::vector<std::uint8_t> found;

  static void fields(auto& self, auto&& field) { field("found", self.found); }
};

struct ContainsRequest {
  static constexpr RequestKind kKind = RequestKind::kContains;
  static constexpr bool kMayStandIn = true;
  using Reply = ContainsReply;
  std::vector<std::uint64_t> model_ids;

  static void fields(auto& self, auto&& field) { field("model_ids", self.model_ids); }
};

}  // namespace parsl_tl
