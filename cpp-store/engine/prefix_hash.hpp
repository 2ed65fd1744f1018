// Prefix hashes: a layer's own digest together with the hashes of its inputs, in order.
//
// Equal hash means equal layer with an equal history back to the model's inputs. Many graphs are
// hashed in one call; each is a run of layers in flat arrays.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace parsl_tl {

/// One tensor that a call takes in: which layer of the graph made it, in which of that layer's
/// calls, and which of the call's outputs it is.
struct TensorSource {
  std::uint32_t layer;
  std::uint32_t call;
  std::uint32_t tensor;
};
static_assert(sizeof(TensorSource) == 12);

/// Flat arrays over all graphs. Starts have one entry more than there are things, as in CSR.
struct GraphBatch {
  std::span<const std::int64_t> layer_starts;  // graph g: layers [layer_starts[g], layer_starts[g+1])
  std::span<const std::uint64_t> digests;      // one per layer
  std::span<const std::int64_t> call_starts;   // layer l: its calls
  std::span<const std::uint64_t> call_digests; // one per call: the form of its arguments
  std::span<const std::int64_t> input_starts;  // call c: its inputs
  std::span<const TensorSource> inputs;        // layer numbers count within the graph
};

/// One hash per layer. A layer that is called several times has one hash over all of its calls, so
/// that the layers of a common prefix always have their inputs in the prefix too. Layers that feed
/// each other (a layer called again on what was made from its own output) are hashed as a group.
///
/// Throws std::invalid_argument for inconsistent arrays, unknown layers or calls, and cycles.
std::vector<std::uint64_t> prefix_hashes(const GraphBatch& batch);

/// XXH3-64 of the words in little-endian order; the one way in which hashes are combined.
std::uint64_t combine(std::span<const std::uint64_t> words);

}  // namespace parsl_tl
