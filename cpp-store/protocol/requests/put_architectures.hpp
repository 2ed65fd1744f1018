// Stores many models without weights, as flat (CSR) arrays; see flat_models.hpp.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct PutArchitecturesReply {
  static void fields(auto&, auto&&) {}
};

struct PutArchitecturesRequest {
  static constexpr RequestKind kKind = RequestKind::kPutArchitectures;
  static constexpr bool kChanges = true;
  using Reply = PutArchitecturesReply;
  std::vector<std::uint64_t> model_ids;
  std::vector<double> qualities;
  std::vector<std::uint64_t> parents;
  std::vector<std::uint8_t> has_parent;
  std::vector<std::int64_t> layer_starts;
  std::vector<std::uint64_t> prefix_hashes;
  std::vector<std::uint32_t> class_ids;
  std::vector<std::string> class_names;
  std::vector<std::int64_t> edge_starts;
  std::vector<std::uint32_t> edges;
  std::vector<std::uint64_t> fingerprints;

  static void fields(auto& self, auto&& field) {
    field("model_ids", self.model_ids);
    field("qualities", self.qualities);
    field("parents", self.parents);
    field("has_parent", self.has_parent);
    field("layer_starts", self.layer_starts);
    field("prefix_hashes", self.prefix_hashes);
    field("class_ids", self.class_ids);
    field("class_names", self.class_names);
    field("edge_starts", self.edge_starts);
    field("edges", self.edges);
    field("fingerprints", self.fingerprints);
  }
};

}  // namespace parsl_tl
