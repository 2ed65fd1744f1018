// A part of the file that holds what a model owns, as it is, as the download: as many bytes as
// there is room for. Whoever asks verifies the whole.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct ReadSegmentReply {
  static void fields(auto&, auto&&) {}
};

struct ReadSegmentRequest {
  static constexpr RequestKind kKind = RequestKind::kReadSegment;
  using Reply = ReadSegmentReply;
  std::uint64_t owner = 0;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;  // of the file, as it was told

  static void fields(auto& self, auto&& field) {
    field("owner", self.owner);
    field("offset", self.offset);
    field("size", self.size);
  }
};

}  // namespace parsl_tl
