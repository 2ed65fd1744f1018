// The tensors of some layers, as the download: one after another, in the order of the keys.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct ReadLayersReply {
  static void fields(auto&, auto&&) {}
};

struct ReadLayersRequest {
  static constexpr RequestKind kKind = RequestKind::kReadLayers;
  static constexpr bool kMayStandIn = true;
  using Reply = ReadLayersReply;
  std::uint64_t model_id = 0;
  std::vector<std::uint64_t> layer_keys;
  std::int64_t created_ns = 0;  // of the model that is meant; 0 for any of the id

  static void fields(auto& self, auto&& field) {
    field("model_id", self.model_id);
    field("layer_keys", self.layer_keys);
    field("created_ns", self.created_ns);
  }
};

}  // namespace parsl_tl
