// The walk over graphs as a server has it: what clients send and get, whatever carries it.
#pragma once

#include <mutex>
#include <optional>
#include <shared_mutex>

#include "graph_walk.hpp"

namespace parsl_tl {

/// Thread-safe.
class WalkService {
 public:
  void add(std::uint64_t model_id, double quality, const WalkInput& graph) {
    const std::unique_lock guard(mutex_);
    walk_.add(model_id, quality, graph);
  }
  std::optional<WalkMatch> match(const WalkInput& graph) const {
    const std::shared_lock guard(mutex_);
    return walk_.match(graph);
  }

 private:
  mutable std::shared_mutex mutex_;
  GraphWalk walk_;
};

}  // namespace parsl_tl
