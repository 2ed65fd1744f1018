// Prefix hashes: a layer's own digest together with the keys of its inputs, in order.
//
// Equal hash means equal layer with an equal history back to the model's inputs. Equal layers on
// equal inputs (twins) have equal hashes; their keys (hash and twin number) tell them apart, and
// what follows one of them has that key in its hash. So layers of two models with equal keys map
// one to one, and the inputs of one are mapped to the inputs of the other: a match is an
// isomorphism. Which twin is the first is a matter of the order in which layers are listed; see
// canonical_order.hpp for the order that equal models share.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "graph_batch.hpp"

namespace parsl_tl {

/// One hash per layer. Twins are numbered in the order in which they are listed.
///
/// A layer that is called several times has one hash over all of its calls, so that the layers of a
/// common prefix always have their inputs in the prefix too. Layers that feed each other (a layer
/// called again on what was made from its own output) are hashed as one group; they, and layers
/// that are not listed behind their inputs, match together or not at all.
///
/// Throws std::invalid_argument for inconsistent arrays, unknown layers or calls.
std::vector<std::uint64_t> prefix_hashes(const GraphBatch& batch);

/// XXH3-64 of the words in little-endian order; the one way in which hashes are combined.
std::uint64_t combine(std::span<const std::uint64_t> words);

}  // namespace parsl_tl
