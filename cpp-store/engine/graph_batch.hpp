// Many graphs of layers and their calls, in flat arrays.
#pragma once

#include <cstdint>
#include <span>

namespace parsl_tl {

/// A tensor: which layer of the graph made it, in which of that layer's calls, and which of the
/// call's outputs it is.
struct TensorSource {
  std::uint32_t layer;
  std::uint32_t call;
  std::uint32_t tensor;
};
static_assert(sizeof(TensorSource) == 12);

/// Who is called on what. Starts have one entry more than there are things, as in CSR. An input
/// layer has one call without inputs: the tensor that it gives.
struct CallBatch {
  std::span<const std::int64_t>
      layer_starts;  // graph g: layers [layer_starts[g], layer_starts[g+1])
  std::span<const std::int64_t> call_starts;   // layer l: its calls
  std::span<const std::int64_t> input_starts;  // call c: its inputs
  std::span<const TensorSource> inputs;        // layer numbers count within the graph

  /// Throws std::invalid_argument for starts that do not fit each other.
  void check() const;
};

/// Throws std::invalid_argument unless the starts rise from 0 to the number of items.
void check_rising(std::span<const std::int64_t> starts, std::size_t end, const char* what);

struct GraphBatch {
  CallBatch calls;
  std::span<const std::uint64_t> digests;       // one per layer
  std::span<const std::uint64_t> call_digests;  // one per call: the form of its arguments
};

/// One graph of a batch. Calls and inputs are numbered within the batch, layers within the graph.
class CallGraph {
 public:
  CallGraph(const CallBatch& batch, std::size_t graph)
      : batch_(batch),
        first_(static_cast<std::size_t>(batch.layer_starts[graph])),
        size_(static_cast<std::uint32_t>(batch.layer_starts[graph + 1] -
                                         batch.layer_starts[graph])) {}

  std::size_t first_layer() const { return first_; }
  std::uint32_t size() const { return size_; }
  std::int64_t calls_begin(std::uint32_t layer) const { return batch_.call_starts[first_ + layer]; }
  std::int64_t calls_end(std::uint32_t layer) const {
    return batch_.call_starts[first_ + layer + 1];
  }
  std::int64_t inputs_begin(std::int64_t call) const { return batch_.input_starts[call]; }
  std::int64_t inputs_end(std::int64_t call) const { return batch_.input_starts[call + 1]; }

  /// Throws std::invalid_argument for a layer or a call that the graph does not have.
  const TensorSource& input(std::int64_t number) const { return checked(batch_.inputs[number]); }
  const TensorSource& checked(const TensorSource& source) const;

 private:
  const CallBatch& batch_;
  std::size_t first_;
  std::uint32_t size_;
};

}  // namespace parsl_tl
