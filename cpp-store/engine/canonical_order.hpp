// The order in which equal models list their layers, however they were written down.
//
// A model's outputs stand in an order, and so do the arguments of every call. So a walk depth first
// from the outputs, arguments from left to right, meets the calls of equal models in the same
// order. A call comes behind all that goes into it, and a layer where its first call does; layers
// that feed each other stand together. What no output needs comes last, as it is listed.
//
// A model that is built layer by layer along its data is mostly listed like that already, and a
// change behind a layer seldom moves it: what is before it on the way to the outputs stays so.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "graph_batch.hpp"

namespace parsl_tl {

struct CanonicalOrder {
  std::vector<std::uint32_t>
      layers;  // for each place of each graph, which of its layers stands there
  std::vector<std::int64_t> calls;  // for each call in the new order, its number in the batch
};

/// `output_starts`: graph g has outputs [output_starts[g], output_starts[g + 1]).
///
/// Throws std::invalid_argument for inconsistent arrays, unknown layers or calls, and calls that
/// need their own result.
CanonicalOrder canonical_order(const CallBatch& batch, std::span<const std::int64_t> output_starts,
                               std::span<const TensorSource> outputs);

}  // namespace parsl_tl
