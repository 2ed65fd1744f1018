#include "prefix_hash.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>

#include "checksum.hpp"

namespace parsl_tl {
namespace {

static_assert(std::endian::native == std::endian::little, "hashes are over little-endian words");

/// Hashes one graph: groups of layers that feed each other (Tarjan's strongly connected
/// components, each found after all that it depends on), then every group in turn.
class GraphHasher {
 public:
  GraphHasher(const GraphBatch& batch, std::size_t first, std::size_t last, std::uint64_t* out)
      : batch_(batch), first_(first), count_(last - first), hash_(out), visit_(count_) {}

  void run() {
    for (std::uint32_t layer = 0; layer < count_; ++layer) {
      if (visit_[layer].order == 0) find_groups(layer);
    }
  }

 private:
  struct Visit {
    std::uint32_t order = 0;  // 0: not seen
    std::uint32_t low = 0;
    bool on_stack = false;
    bool done = false;
  };
  struct Frame {
    std::uint32_t layer;
    std::int64_t next_input;
  };
  enum class State : std::uint8_t { kNew, kOpen, kDone };

  std::int64_t calls_begin(std::uint32_t layer) const { return batch_.call_starts[first_ + layer]; }
  std::int64_t calls_end(std::uint32_t layer) const {
    return batch_.call_starts[first_ + layer + 1];
  }
  std::int64_t inputs_begin(std::uint32_t layer) const {
    return batch_.input_starts[calls_begin(layer)];
  }
  std::int64_t inputs_end(std::uint32_t layer) const {
    return batch_.input_starts[calls_end(layer)];
  }

  const TensorSource& source(std::int64_t input) const {
    const TensorSource& found = batch_.inputs[input];
    if (found.layer >= count_ ||
        found.call >= calls_end(found.layer) - calls_begin(found.layer)) {
      throw std::invalid_argument("an input names layer " + std::to_string(found.layer) +
                                  ", call " + std::to_string(found.call) +
                                  ", which the graph does not have");
    }
    return found;
  }

  void enter(std::uint32_t layer) {
    visit_[layer] = {++order_, order_, true, false};
    stack_.push_back(layer);
    path_.push_back({layer, inputs_begin(layer)});
  }

  // Iterative, since a chain may be longer than the call stack is deep.
  void find_groups(std::uint32_t root) {
    enter(root);
    while (!path_.empty()) {
      Frame& frame = path_.back();
      const std::uint32_t layer = frame.layer;
      if (frame.next_input < inputs_end(layer)) {
        const std::uint32_t input = source(frame.next_input++).layer;
        if (visit_[input].order == 0) {
          enter(input);
        } else if (visit_[input].on_stack) {
          visit_[layer].low = std::min(visit_[layer].low, visit_[input].order);
        }
        continue;
      }
      path_.pop_back();
      if (!path_.empty()) {
        Visit& above = visit_[path_.back().layer];
        above.low = std::min(above.low, visit_[layer].low);
      }
      if (visit_[layer].low == visit_[layer].order) close_group(layer);
    }
  }

  void close_group(std::uint32_t root) {
    group_.clear();
    std::uint32_t member;
    do {
      member = stack_.back();
      stack_.pop_back();
      visit_[member].on_stack = false;
      group_.push_back(member);
    } while (member != root);
    if (group_.size() == 1 && !feeds_itself(root)) {
      hash_[root] = hash_layer(root);
    } else {
      hash_group();
    }
    for (const std::uint32_t layer : group_) visit_[layer].done = true;
  }

  bool feeds_itself(std::uint32_t layer) const {
    for (std::int64_t i = inputs_begin(layer); i < inputs_end(layer); ++i) {
      if (source(i).layer == layer) return true;
    }
    return false;
  }

  std::uint64_t hash_layer(std::uint32_t layer) {
    words_.assign({batch_.digests[first_ + layer],
                   static_cast<std::uint64_t>(calls_end(layer) - calls_begin(layer))});
    for (std::int64_t call = calls_begin(layer); call < calls_end(layer); ++call) {
      words_.push_back(batch_.call_digests[call]);
      words_.push_back(static_cast<std::uint64_t>(batch_.input_starts[call + 1] -
                                                  batch_.input_starts[call]));
      for (std::int64_t i = batch_.input_starts[call]; i < batch_.input_starts[call + 1]; ++i) {
        const TensorSource& input = source(i);
        words_.insert(words_.end(), {hash_[input.layer], input.call, input.tensor});
      }
    }
    return combine(words_);
  }

  /// A call within a group: other groups' layers count with their hash, the group's own calls with
  /// this hash of theirs. Calls are acyclic even where layers are not.
  std::uint64_t hash_call(std::uint32_t layer, std::uint32_t number,
                          std::vector<std::vector<std::uint64_t>>& values,
                          std::vector<std::vector<State>>& states) {
    State& state = states[layer][number];
    if (state == State::kDone) return values[layer][number];
    if (state == State::kOpen) throw std::invalid_argument("the layers form a cycle");
    state = State::kOpen;
    const std::int64_t call = calls_begin(layer) + number;
    std::vector<std::uint64_t> words{batch_.digests[first_ + layer], number,
                                     batch_.call_digests[call]};
    for (std::int64_t i = batch_.input_starts[call]; i < batch_.input_starts[call + 1]; ++i) {
      const TensorSource& input = source(i);
      const std::uint64_t value = visit_[input.layer].done
                                      ? hash_[input.layer]
                                      : hash_call(input.layer, input.call, values, states);
      words.insert(words.end(), {value, input.call, input.tensor});
    }
    states[layer][number] = State::kDone;
    return values[layer][number] = combine(words);
  }

  void hash_group() {
    std::vector<std::vector<std::uint64_t>> values(count_);
    std::vector<std::vector<State>> states(count_);
    for (const std::uint32_t layer : group_) {
      const auto calls = static_cast<std::size_t>(calls_end(layer) - calls_begin(layer));
      values[layer].resize(calls);
      states[layer].resize(calls, State::kNew);
    }
    std::vector<std::uint64_t> all;
    for (const std::uint32_t layer : group_) {
      for (std::uint32_t call = 0; call < values[layer].size(); ++call) {
        all.push_back(hash_call(layer, call, values, states));
      }
    }
    std::sort(all.begin(), all.end());  // the order in which the layers are listed does not count
    const std::uint64_t group_hash = combine(all);
    for (const std::uint32_t layer : group_) {
      std::vector<std::uint64_t> words{group_hash};
      words.insert(words.end(), values[layer].begin(), values[layer].end());
      hash_[layer] = combine(words);
    }
  }

  const GraphBatch& batch_;
  std::size_t first_;
  std::size_t count_;
  std::uint64_t* hash_;
  std::vector<Visit> visit_;
  std::vector<std::uint32_t> stack_;
  std::vector<Frame> path_;
  std::vector<std::uint32_t> group_;
  std::vector<std::uint64_t> words_;
  std::uint32_t order_ = 0;
};

void check_starts(std::span<const std::int64_t> starts, std::size_t end, const char* what) {
  if (starts.empty() || starts.front() != 0 ||
      starts.back() != static_cast<std::int64_t>(end) ||
      !std::is_sorted(starts.begin(), starts.end())) {
    throw std::invalid_argument(std::string(what) + " must rise from 0 to the number of items");
  }
}

}  // namespace

std::uint64_t combine(std::span<const std::uint64_t> words) {
  return checksum(words.data(), words.size_bytes());
}

std::vector<std::uint64_t> prefix_hashes(const GraphBatch& batch) {
  check_starts(batch.layer_starts, batch.digests.size(), "layer_starts");
  check_starts(batch.call_starts, batch.call_digests.size(), "call_starts");
  check_starts(batch.input_starts, batch.inputs.size(), "input_starts");
  if (batch.call_starts.size() != batch.digests.size() + 1 ||
      batch.input_starts.size() != batch.call_digests.size() + 1) {
    throw std::invalid_argument("starts must have one entry more than there are items");
  }
  std::vector<std::uint64_t> hashes(batch.digests.size());
  for (std::size_t graph = 0; graph + 1 < batch.layer_starts.size(); ++graph) {
    const auto first = static_cast<std::size_t>(batch.layer_starts[graph]);
    const auto last = static_cast<std::size_t>(batch.layer_starts[graph + 1]);
    GraphHasher(batch, first, last, hashes.data() + first).run();
  }
  return hashes;
}

}  // namespace parsl_tl
