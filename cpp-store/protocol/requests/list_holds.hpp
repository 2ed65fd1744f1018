// What models of other servers hold here.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct ListHoldsReply {
  std::vector<std::uint64_t> model_ids;
  std::vector<std::uint64_t> attempts;
  std::vector<std::string> homes;      // the stores that the models belong on
  std::vector<std::uint64_t> layers;
  std::vector<std::uint64_t> sums;     // see LayerSum

  static void fields(auto& self, auto&& field) {
    field("model_ids", self.model_ids);
    field("attempts", self.attempts);
    field("homes", self.homes);
    field("layers", self.layers);
    field("sums", self.sums);
  }
};

struct ListHoldsRequest {
  static constexpr RequestKind kKind = RequestKind::kListHolds;
  using Reply = ListHoldsReply;
  static void fields(auto&, auto&&) {}
};

}  // namespace parsl_tl
