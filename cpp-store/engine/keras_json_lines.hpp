// Keras JSON of many models at once, filled into templates: one line of text for each model.
//
// Models of one search space are made of few different layers; what differs from model to model are
// the layers' names, which hold their prefix hashes, and who takes in whose output. So a layer's
// JSON is written once, with gaps for its own name and for those of its inputs.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace parsl_tl {

/// Text with gaps: pieces[0] gap[0] pieces[1] ... gap[n-1] pieces[n].
struct GapText {
  std::vector<std::string> pieces;
  std::vector<std::int32_t> gaps;
};

struct LayerTemplate {
  std::string class_name;
  GapText text;                // a gap is kOwnName, or the number of one of the layer's inputs
  std::size_t num_inputs = 0;  // that the gaps ask for; layers may have no other number
};
constexpr std::int32_t kOwnName = -1;

/// Models in flat arrays; every layer is called once. Starts are those of CSR.
struct LayerBatch {
  std::span<const std::int64_t> layer_starts;
  std::span<const std::uint64_t> hashes;     // one per layer
  std::span<const std::uint32_t> templates;  // one per layer
  std::span<const std::int64_t> edge_starts;
  std::span<const std::uint32_t> edges;  // pairs (source, target), in the order of targets
};

class KerasJsonLines {
 public:
  /// `foot`: its gaps are layer numbers of the model, counted from the end if negative. Throws
  /// StoreException(kInvalidValue) if pieces and gaps do not fit each other.
  KerasJsonLines(std::vector<LayerTemplate> layers, std::string head, GapText foot);

  /// Throws StoreException(kInvalidValue) for arrays that do not fit each other, or the templates.
  std::string write(const LayerBatch& batch) const;

 private:
  void write_model(const LayerBatch& batch, std::size_t model, std::vector<std::string>& names,
                   std::string& out) const;

  std::vector<LayerTemplate> layers_;
  std::string head_;
  GapText foot_;
};

}  // namespace parsl_tl
