// Lets go of what a model of another server holds here. Repeating it changes nothing.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct ReleaseReply {
  std::uint64_t bytes_freed = 0;

  static void fields(auto& self, auto&& field) { field("bytes_freed", self.bytes_freed); }
};

struct ReleaseRequest {
  static constexpr RequestKind kKind = RequestKind::kRelease;
  static constexpr bool kChanges = true;
  using Reply = ReleaseReply;
  std::uint64_t model_id = 0;
  std::uint64_t attempt = 0;  // only what this one holds; 0 for any
  std::string home;           // the store that says so

  static void fields(auto& self, auto&& field) {
    field("model_id", self.model_id);
    field("attempt", self.attempt);
    field("home", self.home);
  }
};

}  // namespace parsl_tl
