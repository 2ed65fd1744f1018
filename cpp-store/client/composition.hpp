// Which model owns each layer of a model. It never changes, so clients remember it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "requests/open_model.hpp"

namespace parsl_tl {

struct Composition {
  struct Layer {
    std::uint64_t key = 0;
    std::string name;
    std::uint64_t owner = 0;
    std::uint64_t bytes = 0;
    bool has_weights = false;
  };
  std::uint64_t model_id = 0;
  std::int64_t created_ns = 0;
  double quality = 0.0;
  std::vector<Layer> layers;

  /// Throws kInvalidValue if the lists do not go together.
  static std::shared_ptr<const Composition> from(std::uint64_t model_id,
                                                 const OpenModelReply& reply);
};

}  // namespace parsl_tl
