// What the models of this server have from owners on other servers. In pages,
// in the order of the models' ids.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct ListBorrowedReply {
  std::vector<std::uint64_t> model_ids;  // one entry for each model and server
  std::vector<std::uint32_t> places;     // of the owners' servers
  std::vector<std::uint64_t> layers;
  std::vector<std::uint64_t> sums;  // see LayerSum
  bool is_last = false;             // there is nothing behind this page

  static void fields(auto& self, auto&& field) {
    field("model_ids", self.model_ids);
    field("places", self.places);
    field("layers", self.layers);
    field("sums", self.sums);
    field("is_last", self.is_last);
  }
};

struct ListBorrowedRequest {
  static constexpr RequestKind kKind = RequestKind::kListBorrowed;
  using Reply = ListBorrowedReply;
  std::optional<std::uint64_t> after;  // the last model of the page before

  static void fields(auto& self, auto&& field) { field("after", self.after); }
};

}  // namespace parsl_tl
