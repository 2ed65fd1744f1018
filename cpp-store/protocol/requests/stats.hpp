// Counts and bytes of the engine.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct StatsReply {
  std::vector<std::string> names;
  std::vector<std::uint64_t> values;

  static void fields(auto& self, auto&& field) {
    field("names", self.names);
    field("values", self.values);
  }
};

struct StatsRequest {
  static constexpr RequestKind kKind = RequestKind::kStats;
  static constexpr bool kMayStandIn = true;
  using Reply = StatsReply;
  static void fields(auto&, auto&&) {}
};

}  // namespace parsl_tl
