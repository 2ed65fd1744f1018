// Which model owns each layer of a model. It never changes, so clients remember it.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
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
  double quality = 0.0;
  std::vector<Layer> layers;

  /// Throws kInvalidValue if the lists do not go together.
  static std::shared_ptr<const Composition> from(std::uint64_t model_id,
                                                 const OpenModelReply& reply);
};

/// The compositions that were used last. Thread-safe.
class CompositionCache {
 public:
  explicit CompositionCache(std::size_t most) : most_(most) {}

  std::shared_ptr<const Composition> find(std::uint64_t model_id);
  void keep(std::shared_ptr<const Composition> composition);
  void forget(std::uint64_t model_id);

 private:
  using Order = std::list<std::shared_ptr<const Composition>>;  // used last at the end
  const std::size_t most_;
  std::mutex mutex_;
  Order order_;
  std::unordered_map<std::uint64_t, Order::iterator> places_;
};

}  // namespace parsl_tl
