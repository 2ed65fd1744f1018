// What the catalog knows of a model and of layers in use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "record.hpp"

namespace parsl_tl {

struct Model {
  std::uint64_t id = 0;
  std::uint64_t sequence = 0;  // order of storing
  std::int64_t created_ns = 0;
  double quality = 0.0;
  std::optional<std::uint64_t> parent;
  std::optional<std::uint64_t> donor;
  std::vector<LayerRecord> layers;  // the composition, in topological order
  std::uint64_t bytes_owned = 0;
  std::uint64_t bytes_total = 0;
  RecordPlace place;  // edges and architecture are read from there
  std::string attributes;
  std::uint64_t fingerprint = 0;  // of the data, 0 if none was said
};

/// A layer with tensors that living models hold.
struct LayerUse {
  std::uint64_t bytes = 0;
  std::uint64_t references = 0;
};

}  // namespace parsl_tl
