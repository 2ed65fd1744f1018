// How large the files are that hold what these models own, 0 for one that is not there; and a
// digest of each, by which whoever has a copy knows whether it is one.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct SegmentSizesReply {
  std::vector<std::uint64_t> sizes;
  std::vector<std::uint64_t> digests;

  static void fields(auto& self, auto&& field) {
    field("sizes", self.sizes);
    field("digests", self.digests);
  }
};

struct SegmentSizesRequest {
  static constexpr RequestKind kKind = RequestKind::kSegmentSizes;
  using Reply = SegmentSizesReply;
  std::vector<std::uint64_t> owners;

  static void fields(auto& self, auto&& field) { field("owners", self.owners); }
};

}  // namespace parsl_tl
