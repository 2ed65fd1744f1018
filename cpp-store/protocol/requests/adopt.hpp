// Servers of a store were replaced on purpose: the server gives up what only those had that are
// gone. Repeating it changes nothing.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct AdoptReply {
  std::vector<std::uint64_t> lost_models;  // here, without all of their layers
  std::vector<std::uint64_t> lost_holds;   // here, of models that are gone

  static void fields(auto& self, auto&& field) {
    field("lost_models", self.lost_models);
    field("lost_holds", self.lost_holds);
  }
};

struct AdoptRequest {
  static constexpr RequestKind kKind = RequestKind::kAdopt;
  using Reply = AdoptReply;
  std::vector<std::string> stores;  // of all servers from now on, in their order
  std::uint32_t index = 0;          // the server's own
  bool only_look = true;            // tell what would be given up

  static void fields(auto& self, auto&& field) {
    field("stores", self.stores);
    field("index", self.index);
    field("only_look", self.only_look);
  }
};

}  // namespace parsl_tl
