// A server becomes the one in this place of a store. Only an empty one can become another.
// Repeating it changes nothing.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct JoinReply {
  static void fields(auto&, auto&&) {}
};

struct JoinRequest {
  static constexpr RequestKind kKind = RequestKind::kJoin;
  using Reply = JoinReply;
  std::vector<std::string> stores;  // of all servers, in their order
  std::uint32_t index = 0;          // the server's own

  static void fields(auto& self, auto&& field) {
    field("stores", self.stores);
    field("index", self.index);
  }
};

}  // namespace parsl_tl
