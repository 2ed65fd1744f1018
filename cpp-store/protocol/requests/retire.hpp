// Takes a model out. The owners tell on which servers it holds layers, to be released there.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct RetireReply {
  std::uint64_t bytes_freed = 0;
  std::vector<std::uint64_t> owners;  // of inherited layers

  static void fields(auto& self, auto&& field) {
    field("bytes_freed", self.bytes_freed);
    field("owners", self.owners);
  }
};

struct RetireRequest {
  static constexpr RequestKind kKind = RequestKind::kRetire;
  static constexpr bool kChanges = true;
  using Reply = RetireReply;
  std::uint64_t model_id = 0;

  static void fields(auto& self, auto&& field) { field("model_id", self.model_id); }
};

}  // namespace parsl_tl
