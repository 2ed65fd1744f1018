// Keeps layers for a model that lives on another server. Repeating it changes nothing.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct HoldReply {
  bool is_taken = false;      // false: another attempt to store the model has a hold
  std::uint64_t attempt = 0;  // whose it is now

  static void fields(auto& self, auto&& field) {
    field("is_taken", self.is_taken);
    field("attempt", self.attempt);
  }
};

struct HoldMessage {
  static constexpr RequestKind kKind = RequestKind::kHold;
  static constexpr bool kChanges = true;
  using Reply = HoldReply;
  std::uint64_t model_id = 0;
  std::vector<std::uint64_t> layer_keys;
  std::vector<std::string> layer_names;
  std::vector<std::uint64_t> owners;
  std::uint64_t attempt = 0;
  std::string home;            // the store that the model belongs on
  std::uint64_t replaces = 0;  // an attempt that is over, as the home said

  static void fields(auto& self, auto&& field) {
    field("model_id", self.model_id);
    field("layer_keys", self.layer_keys);
    field("layer_names", self.layer_names);
    field("owners", self.owners);
    field("attempt", self.attempt);
    field("home", self.home);
    field("replaces", self.replaces);
  }
};

}  // namespace parsl_tl
