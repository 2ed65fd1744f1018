// What models of other servers hold here.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct ListHoldsReply {
  std::vector<std::uint64_t> model_ids;
  std::vector<std::int64_t> ages_ns;  // by the server's clock

  static void fields(auto& self, auto&& field) {
    field("model_ids", self.model_ids);
    field("ages_ns", self.ages_ns);
  }
};

struct ListHoldsRequest {
  static constexpr RequestKind kKind = RequestKind::kListHolds;
  using Reply = ListHoldsReply;
  static void fields(auto&, auto&&) {}
};

}  // namespace parsl_tl
