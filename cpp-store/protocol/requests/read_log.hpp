// A part of the log, as it lies in the file, as the download: as many bytes as there is room for.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct ReadLogReply {
  static void fields(auto&, auto&&) {}
};

struct ReadLogRequest {
  static constexpr RequestKind kKind = RequestKind::kReadLog;
  using Reply = ReadLogReply;
  std::uint64_t generation = 0;
  std::uint64_t position = 0;

  static void fields(auto& self, auto&& field) {
    field("generation", self.generation);
    field("position", self.position);
  }
};

}  // namespace parsl_tl
