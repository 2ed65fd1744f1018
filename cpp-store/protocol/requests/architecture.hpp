// A model's Keras JSON.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct ArchitectureReply {
  std::string architecture;

  static void fields(auto& self, auto&& field) { field("architecture", self.architecture); }
};

struct ArchitectureRequest {
  static constexpr RequestKind kKind = RequestKind::kArchitecture;
  static constexpr bool kMayStandIn = true;
  using Reply = ArchitectureReply;
  std::uint64_t model_id = 0;

  static void fields(auto& self, auto&& field) { field("model_id", self.model_id); }
};

}  // namespace parsl_tl
