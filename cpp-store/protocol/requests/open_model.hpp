// A model's composition, and how the tensors look that lie on this server. It stays readable for
// the client, even if it is retired, until the client lets go of it or is not heard from for long.
// What is let go of is a lease, not a model: the client may have opened the same model anew
// meanwhile.
//
// Under the id of a model of another server: what that model holds of the layers here.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct OpenModelReply {
  std::int64_t created_ns = 0;  // a store that went back to a copy of it may use an id anew
  double quality = 0.0;
  std::vector<std::uint64_t> layer_keys;
  std::vector<std::string> layer_names;
  std::vector<std::uint64_t> layer_owners;
  std::vector<std::uint64_t> layer_bytes;
  std::vector<std::uint8_t> layer_weights;   // whether the layer has tensors
  std::vector<std::uint32_t> tensor_layers;  // of the tensors here
  std::vector<std::string> tensor_dtypes;
  Shapes tensor_shapes;
  std::vector<std::uint64_t> tensor_sizes;
  // Of a model of a store that the server follows: the folders of the copies of its servers, in
  // their order. Empty for the server's own models.
  std::vector<std::string> folders;

  static void fields(auto& self, auto&& field) {
    field("created_ns", self.created_ns);
    field("quality", self.quality);
    field("layer_keys", self.layer_keys);
    field("layer_names", self.layer_names);
    field("layer_owners", self.layer_owners);
    field("layer_bytes", self.layer_bytes);
    field("layer_weights", self.layer_weights);
    field("tensor_layers", self.tensor_layers);
    field("tensor_dtypes", self.tensor_dtypes);
    field("tensor_shapes", self.tensor_shapes);
    field("tensor_sizes", self.tensor_sizes);
    field("folders", self.folders);
  }
  bool operator==(const OpenModelReply&) const = default;
};

struct OpenModelRequest {
  static constexpr RequestKind kKind = RequestKind::kOpenModel;
  static constexpr bool kMayStandIn = true;
  using Reply = OpenModelReply;
  std::uint64_t model_id = 0;
  std::vector<std::uint64_t> let_go;  // leases that the client has no more use for
  std::uint64_t lease = 0;            // its own number for it; 0 if it maps the segments itself
  bool knows_layers = false;          // compositions never change: do not send it again

  static void fields(auto& self, auto&& field) {
    field("model_id", self.model_id);
    field("let_go", self.let_go);
    field("lease", self.lease);
    field("knows_layers", self.knows_layers);
  }
};

}  // namespace parsl_tl
