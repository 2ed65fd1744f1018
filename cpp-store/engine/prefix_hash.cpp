#include "prefix_hash.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>

#include "checksum.hpp"
#include "layer_name.hpp"

namespace parsl_tl {
namespace {

static_assert(std::endian::native == std::endian::little, "hashes are over little-endian words");

/// Counts how often a hash was met in one graph.
class TwinCounter {
 public:
  void start(std::size_t num_layers) { slots_.assign(std::bit_ceil(2 * num_layers + 1), {0, 0}); }

  /// How many equal ones came before.
  std::uint64_t count(std::uint64_t hash) {
    const std::size_t mask = slots_.size() - 1;
    std::size_t place = hash & mask;
    while (slots_[place].count != 0 && slots_[place].hash != hash) place = (place + 1) & mask;
    slots_[place].hash = hash;
    return slots_[place].count++;
  }

 private:
  struct Slot {
    std::uint64_t hash;
    std::uint64_t count;
  };
  std::vector<Slot> slots_;
};

class GraphHasher {
 public:
  explicit GraphHasher(const GraphBatch& batch) : batch_(batch) {}

  void run(std::size_t number, std::uint64_t* hashes) {
    const CallGraph graph(batch_.calls, number);
    keys_.resize(graph.size());
    twins_.start(graph.size());
    for (std::uint32_t first = 0; first < graph.size();) {
      const std::uint32_t end = group_end(graph, first);
      if (end == first) {
        hashes[first] = hash_layer(graph, first);
      } else {
        hash_group(graph, first, end, hashes);
      }
      const std::uint32_t next = std::max(end, first + 1);
      for (std::uint32_t layer = first; layer < next; ++layer) {
        keys_[layer] = layer_key(hashes[layer], twins_.count(hashes[layer]));
      }
      first = next;
    }
  }

 private:
  /// The end of the run of layers, from `first` on, that take in something of each other; `first`
  /// itself if all its inputs stand before it.
  static std::uint32_t group_end(const CallGraph& graph, std::uint32_t first) {
    std::uint32_t end = first;
    std::uint32_t layer = first;
    do {
      for (std::int64_t call = graph.calls_begin(layer); call < graph.calls_end(layer); ++call) {
        for (std::int64_t i = graph.inputs_begin(call); i < graph.inputs_end(call); ++i) {
          const std::uint32_t source = graph.input(i).layer;
          if (source >= first) end = std::max(end, source + 1);
        }
      }
    } while (++layer < end);
    return end;
  }

  std::uint64_t hash_layer(const CallGraph& graph, std::uint32_t layer) {
    words_.clear();
    add_words(graph, layer, layer, words_);
    return combine(words_);
  }

  /// All that the group is, in the order in which it is listed; then each by its place.
  void hash_group(const CallGraph& graph, std::uint32_t first, std::uint32_t end,
                  std::uint64_t* hashes) {
    words_.clear();
    for (std::uint32_t layer = first; layer < end; ++layer) {
      add_words(graph, layer, first, words_);
    }
    const std::uint64_t group[] = {combine(words_), end - first};
    for (std::uint32_t layer = first; layer < end; ++layer) {
      const std::uint64_t own[] = {group[0], group[1], layer - first};
      hashes[layer] = combine(own);
    }
  }

  /// A layer's digest and its calls, with inputs before `first` by their key and all others by
  /// their place behind it.
  void add_words(const CallGraph& graph, std::uint32_t layer, std::uint32_t first,
                 std::vector<std::uint64_t>& words) const {
    words.push_back(batch_.digests[graph.first_layer() + layer]);
    words.push_back(static_cast<std::uint64_t>(graph.calls_end(layer) - graph.calls_begin(layer)));
    for (std::int64_t call = graph.calls_begin(layer); call < graph.calls_end(layer); ++call) {
      words.push_back(batch_.call_digests[call]);
      words.push_back(
          static_cast<std::uint64_t>(graph.inputs_end(call) - graph.inputs_begin(call)));
      for (std::int64_t i = graph.inputs_begin(call); i < graph.inputs_end(call); ++i) {
        const TensorSource& input = graph.input(i);
        const bool outside = input.layer < first;
        words.push_back(outside ? keys_[input.layer] : input.layer - first);
        // The tensor's number fits in 32 bits: the bit above it tells a place from a key.
        words.push_back(input.call);
        words.push_back(input.tensor | (outside ? 0 : std::uint64_t{1} << 32));
      }
    }
  }

  const GraphBatch& batch_;
  TwinCounter twins_;
  std::vector<std::uint64_t> keys_;
  std::vector<std::uint64_t> words_;
};

}  // namespace

std::uint64_t combine(std::span<const std::uint64_t> words) {
  return checksum(words.data(), words.size_bytes());
}

std::vector<std::uint64_t> prefix_hashes(const GraphBatch& batch) {
  batch.calls.check();
  if (batch.calls.call_starts.size() != batch.digests.size() + 1 ||
      batch.calls.input_starts.size() != batch.call_digests.size() + 1) {
    throw std::invalid_argument("starts must have one entry more than there are items");
  }
  std::vector<std::uint64_t> hashes(batch.digests.size());
  GraphHasher hasher(batch);
  for (std::size_t graph = 0; graph + 1 < batch.calls.layer_starts.size(); ++graph) {
    hasher.run(graph, hashes.data() + batch.calls.layer_starts[graph]);
  }
  return hashes;
}

}  // namespace parsl_tl
