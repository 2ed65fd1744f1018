// Stores a model. The tensors' bytes are the upload: one after another, in the order given here.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct PutReply {
  std::uint64_t bytes_stored = 0;
  std::uint64_t layers_stored = 0;
  std::uint64_t layers_inherited = 0;

  static void fields(auto& self, auto&& field) {
    field("bytes_stored", self.bytes_stored);
    field("layers_stored", self.layers_stored);
    field("layers_inherited", self.layers_inherited);
  }
};

struct PutMessage {
  static constexpr RequestKind kKind = RequestKind::kPut;
  static constexpr bool kChanges = true;
  using Reply = PutReply;
  std::uint64_t model_id = 0;
  double quality = 0.0;
  std::optional<std::uint64_t> parent;
  std::optional<std::uint64_t> donor;
  std::uint64_t fingerprint = 0;  // of the data
  std::vector<std::uint64_t> layer_keys;
  std::vector<std::string> layer_names;
  std::vector<std::uint32_t> edges;
  std::string architecture;                  // Keras JSON
  std::string attributes;                    // JSON
  std::vector<std::uint32_t> tensor_layers;  // ascending
  std::vector<std::string> tensor_dtypes;
  Shapes tensor_shapes;
  std::vector<std::uint64_t> tensor_sizes;  // bytes
  bool names_inherited = false;             // false: the donor's layers, or the parent's
  std::vector<std::uint32_t> inherited_layers;
  std::vector<std::uint64_t> inherited_owners;
  std::vector<std::uint64_t> inherited_bytes;
  std::uint64_t attempt = 0;  // that layers are held for elsewhere; 0: none are
  bool is_whole = false;      // see PutRequest::weighted
  std::vector<std::uint32_t> weighted;
  std::vector<std::uint32_t> maybe_weighted;
  bool parent_is_gone = false;

  static void fields(auto& self, auto&& field) {
    field("model_id", self.model_id);
    field("quality", self.quality);
    field("parent", self.parent);
    field("donor", self.donor);
    field("fingerprint", self.fingerprint);
    field("layer_keys", self.layer_keys);
    field("layer_names", self.layer_names);
    field("edges", self.edges);
    field("architecture", self.architecture);
    field("attributes", self.attributes);
    field("tensor_layers", self.tensor_layers);
    field("tensor_dtypes", self.tensor_dtypes);
    field("tensor_shapes", self.tensor_shapes);
    field("tensor_sizes", self.tensor_sizes);
    field("names_inherited", self.names_inherited);
    field("inherited_layers", self.inherited_layers);
    field("inherited_owners", self.inherited_owners);
    field("inherited_bytes", self.inherited_bytes);
    field("attempt", self.attempt);
    field("is_whole", self.is_whole);
    field("weighted", self.weighted);
    field("maybe_weighted", self.maybe_weighted);
    field("parent_is_gone", self.parent_is_gone);
  }
};

}  // namespace parsl_tl
