// Many models without tensors as flat (CSR) arrays: how whole populations are handed over.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine.hpp"

namespace parsl_tl {

struct FlatModels {
  std::span<const std::uint64_t> model_ids;
  std::span<const double> qualities;
  std::span<const std::uint64_t> parents;  // counts where has_parent is not 0
  std::span<const std::uint8_t> has_parent;
  std::span<const std::int64_t> layer_starts;    // one more than models, as are edge_starts
  std::span<const std::uint64_t> prefix_hashes;  // one for each layer
  std::span<const std::uint32_t> class_ids;      // likewise, into class_names
  std::span<const std::string> class_names;
  std::span<const std::int64_t> edge_starts;
  std::span<const std::uint32_t> edges;         // source, target, counted within the model
  std::span<const std::uint64_t> fingerprints;  // of the models' data; none for no model
};

/// Throws kInvalidValue for arrays that do not fit each other.
std::vector<PutRequest> requests_of(const FlatModels& models);

/// Checks that starts ascend from 0 to the number of values, one more than there are things.
void check_starts(std::span<const std::int64_t> starts, std::size_t things, std::size_t values);

}  // namespace parsl_tl
