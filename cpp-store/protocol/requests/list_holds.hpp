// What models of other servers hold here. In pages, in the order of their ids.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct ListHoldsReply {
  std::vector<std::uint64_t> model_ids;
  std::vector<std::uint64_t> attempts;
  std::vector<std::string> homes;  // the stores that the models belong on
  std::vector<std::uint64_t> layers;
  std::vector<std::uint64_t> sums;  // see LayerSum
  bool is_last = false;             // there is nothing behind this page

  static void fields(auto& self, auto&& field) {
    field("model_ids", self.model_ids);
    field("attempts", self.attempts);
    field("homes", self.homes);
    field("layers", self.layers);
    field("sums", self.sums);
    field("is_last", self.is_last);
  }
};

struct ListHoldsRequest {
  static constexpr RequestKind kKind = RequestKind::kListHolds;
  using Reply = ListHoldsReply;
  std::optional<std::uint64_t> after;  // the last model of the page before

  static void fields(auto& self, auto&& field) { field("after", self.after); }
};

}  // namespace parsl_tl
