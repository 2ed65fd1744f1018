// Keeps layers for a model that lives on another server. Repeating it changes nothing.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct HoldReply {
  bool is_new = false;  // false: another attempt to store the model took the hold before

  static void fields(auto& self, auto&& field) { field("is_new", self.is_new); }
};

struct HoldMessage {
  static constexpr RequestKind kKind = RequestKind::kHold;
  static constexpr bool kChanges = true;
  using Reply = HoldReply;
  std::uint64_t model_id = 0;
  std::vector<std::uint64_t> layer_keys;
  std::vector<std::string> layer_names;
  std::vector<std::uint64_t> owners;

  static void fields(auto& self, auto&& field) {
    field("model_id", self.model_id);
    field("layer_keys", self.layer_keys);
    field("layer_names", self.layer_names);
    field("owners", self.owners);
  }
};

}  // namespace parsl_tl
