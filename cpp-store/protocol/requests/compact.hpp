// Gives the space of retired models back to the file system.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct CompactReply {
  std::uint64_t segments_rewritten = 0;
  std::uint64_t bytes_freed = 0;

  static void fields(auto& self, auto&& field) {
    field("segments_rewritten", self.segments_rewritten);
    field("bytes_freed", self.bytes_freed);
  }
};

struct CompactRequest {
  static constexpr RequestKind kKind = RequestKind::kCompact;
  using Reply = CompactReply;
  static void fields(auto&, auto&&) {}
};

}  // namespace parsl_tl
