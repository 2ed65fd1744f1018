// What is known of a model, but for its architecture and its tensors.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct DescribeModelReply {
  double quality = 0.0;
  std::optional<std::uint64_t> parent;
  std::optional<std::uint64_t> donor;
  std::uint64_t fingerprint = 0;  // of the data
  std::int64_t created_ns = 0;
  std::vector<std::uint64_t> layer_keys;
  std::vector<std::string> layer_names;
  std::vector<std::uint64_t> layer_owners;
  std::uint64_t bytes_owned = 0;
  std::uint64_t bytes_total = 0;
  std::string attributes;

  static void fields(auto& self, auto&& field) {
    field("quality", self.quality);
    field("parent", self.parent);
    field("donor", self.donor);
    field("fingerprint", self.fingerprint);
    field("created_ns", self.created_ns);
    field("layer_keys", self.layer_keys);
    field("layer_names", self.layer_names);
    field("layer_owners", self.layer_owners);
    field("bytes_owned", self.bytes_owned);
    field("bytes_total", self.bytes_total);
    field("attributes", self.attributes);
  }
};

struct DescribeModelRequest {
  static constexpr RequestKind kKind = RequestKind::kDescribeModel;
  static constexpr bool kMayStandIn = true;
  using Reply = DescribeModelReply;
  std::uint64_t model_id = 0;

  static void fields(auto& self, auto&& field) { field("model_id", self.model_id); }
};

}  // namespace parsl_tl
