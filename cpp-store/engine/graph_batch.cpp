#include "graph_batch.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace parsl_tl {

void check_rising(std::span<const std::int64_t> starts, std::size_t end, const char* what) {
  if (starts.empty() || starts.front() != 0 || starts.back() != static_cast<std::int64_t>(end) ||
      !std::is_sorted(starts.begin(), starts.end())) {
    throw std::invalid_argument(std::string(what) + " must rise from 0 to the number of items");
  }
}

void CallBatch::check() const {
  if (call_starts.empty() || input_starts.empty()) {
    throw std::invalid_argument("starts must have one entry more than there are items");
  }
  check_rising(layer_starts, call_starts.size() - 1, "layer_starts");
  check_rising(call_starts, input_starts.size() - 1, "call_starts");
  check_rising(input_starts, inputs.size(), "input_starts");
}

const TensorSource& CallGraph::checked(const TensorSource& source) const {
  if (source.layer >= size_ || source.call >= calls_end(source.layer) - calls_begin(source.layer)) {
    throw std::invalid_argument("a tensor comes from layer " + std::to_string(source.layer) +
                                ", call " + std::to_string(source.call) +
                                ", which the graph does not have");
  }
  return source;
}

}  // namespace parsl_tl
