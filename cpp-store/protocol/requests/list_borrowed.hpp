// What the models of this server have from owners on other servers.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct ListBorrowedReply {
  std::vector<std::uint64_t> model_ids;  // one entry for each model and server
  std::vector<std::uint32_t> places;     // of the owners' servers
  std::vector<std::uint64_t> layers;
  std::vector<std::uint64_t> sums;       // see LayerSum

  static void fields(auto& self, auto&& field) {
    field("model_ids", self.model_ids);
    field("places", self.places);
    field("layers", self.layers);
    field("sums", self.sums);
  }
};

struct ListBorrowedRequest {
  static constexpr RequestKind kKind = RequestKind::kListBorrowed;
  using Reply = ListBorrowedReply;
  static void fields(auto&, auto&&) {}
};

}  // namespace parsl_tl
