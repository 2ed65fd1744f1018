#include "canonical_order.hpp"

#include <algorithm>
#include <stdexcept>

namespace parsl_tl {
namespace {

/// Orders the layers of one graph after the other, and what each of them has of calls.
class Walk {
 public:
  Walk(const CallBatch& batch, CanonicalOrder& order) : batch_(batch), order_(order) {}

  void run(std::size_t number, std::span<const TensorSource> outputs) {
    const CallGraph graph(batch_, number);
    first_call_ = graph.size() == 0 ? 0 : graph.calls_begin(0);
    const auto num_calls = static_cast<std::size_t>(
        graph.size() == 0 ? 0 : graph.calls_end(graph.size() - 1) - first_call_);
    states_.assign(num_calls, State::kNew);
    calls_of_.assign(graph.size(), {});
    layers_.clear();
    for (const TensorSource& output : outputs) visit(graph, graph.checked(output));
    for (std::uint32_t layer = 0; layer < graph.size(); ++layer) {
      const auto calls = graph.calls_end(layer) - graph.calls_begin(layer);
      for (std::uint32_t call = 0; call < calls; ++call) visit(graph, {layer, call, 0});
      if (calls == 0) layers_.push_back(layer);
    }
    if (num_calls > graph.size()) bring_groups_together(graph);
    for (const std::uint32_t layer : layers_) {
      order_.layers.push_back(layer);
      order_.calls.insert(order_.calls.end(), calls_of_[layer].begin(), calls_of_[layer].end());
    }
  }

 private:
  enum class State : std::uint8_t { kNew, kOpen, kDone };
  struct Frame {
    std::uint32_t layer;
    std::int64_t call;
    std::int64_t next_input;
  };

  State& state(std::int64_t call) { return states_[static_cast<std::size_t>(call - first_call_)]; }

  void enter(const CallGraph& graph, const TensorSource& source) {
    const std::int64_t call = graph.calls_begin(source.layer) + source.call;
    if (state(call) == State::kDone) return;
    if (state(call) == State::kOpen) throw std::invalid_argument("the layers form a cycle");
    state(call) = State::kOpen;
    path_.push_back({source.layer, call, graph.inputs_begin(call)});
  }

  // Iterative, since a chain may be longer than the call stack is deep.
  void visit(const CallGraph& graph, const TensorSource& root) {
    path_.clear();
    enter(graph, root);
    while (!path_.empty()) {
      Frame& frame = path_.back();
      if (frame.next_input < graph.inputs_end(frame.call)) {
        enter(graph, graph.input(frame.next_input++));
        continue;
      }
      state(frame.call) = State::kDone;
      if (calls_of_[frame.layer].empty()) layers_.push_back(frame.layer);
      calls_of_[frame.layer].push_back(frame.call);
      path_.pop_back();
    }
  }

  struct Visit {
    std::uint32_t number = 0;  // 0: not seen
    std::uint32_t low = 0;
    bool on_stack = false;
  };
  struct GroupFrame {
    std::uint32_t layer;
    std::size_t next_call;
    std::int64_t next_input;
  };

  /// A further call of a layer may need what stands behind its first. Tarjan's strongly connected
  /// components, entered in the order of first calls, each found behind all that it needs.
  void bring_groups_together(const CallGraph& graph) {
    visits_.assign(graph.size(), {});
    place_.resize(graph.size());
    for (std::uint32_t i = 0; i < graph.size(); ++i) place_[layers_[i]] = i;
    const std::vector<std::uint32_t> by_first_call = std::move(layers_);
    layers_.clear();
    count_ = 0;
    for (const std::uint32_t layer : by_first_call) {
      if (visits_[layer].number == 0) find_groups(graph, layer);
    }
  }

  void enter_group(std::uint32_t layer) {
    visits_[layer] = {++count_, count_, true};
    stack_.push_back(layer);
    group_path_.push_back({layer, 0, -1});
  }

  void find_groups(const CallGraph& graph, std::uint32_t root) {
    enter_group(root);
    while (!group_path_.empty()) {
      GroupFrame& frame = group_path_.back();
      const std::uint32_t layer = frame.layer;
      const auto& calls = calls_of_[layer];
      if (frame.next_call < calls.size()) {
        const std::int64_t call = calls[frame.next_call];
        if (frame.next_input < 0) frame.next_input = graph.inputs_begin(call);
        if (frame.next_input == graph.inputs_end(call)) {
          ++frame.next_call;
          frame.next_input = -1;
          continue;
        }
        const std::uint32_t input = graph.input(frame.next_input++).layer;
        if (visits_[input].number == 0) {
          enter_group(input);
        } else if (visits_[input].on_stack) {
          visits_[layer].low = std::min(visits_[layer].low, visits_[input].number);
        }
        continue;
      }
      group_path_.pop_back();
      if (!group_path_.empty()) {
        Visit& above = visits_[group_path_.back().layer];
        above.low = std::min(above.low, visits_[layer].low);
      }
      if (visits_[layer].low == visits_[layer].number) close_group(layer);
    }
  }

  void close_group(std::uint32_t root) {
    const auto first = static_cast<std::ptrdiff_t>(layers_.size());
    std::uint32_t member;
    do {
      member = stack_.back();
      stack_.pop_back();
      visits_[member].on_stack = false;
      layers_.push_back(member);
    } while (member != root);
    std::sort(layers_.begin() + first, layers_.end(),
              [&](std::uint32_t a, std::uint32_t b) { return place_[a] < place_[b]; });
  }

  const CallBatch& batch_;
  CanonicalOrder& order_;
  std::int64_t first_call_ = 0;
  std::vector<State> states_;
  std::vector<std::vector<std::int64_t>> calls_of_;  // in the order in which they are met
  std::vector<std::uint32_t> layers_;
  std::vector<Frame> path_;
  std::vector<std::uint32_t> place_;
  std::vector<Visit> visits_;
  std::vector<std::uint32_t> stack_;
  std::vector<GroupFrame> group_path_;
  std::uint32_t count_ = 0;
};

}  // namespace

CanonicalOrder canonical_order(const CallBatch& batch, std::span<const std::int64_t> output_starts,
                               std::span<const TensorSource> outputs) {
  batch.check();
  check_rising(output_starts, outputs.size(), "output_starts");
  if (output_starts.size() != batch.layer_starts.size()) {
    throw std::invalid_argument("output_starts must have one entry more than there are graphs");
  }
  CanonicalOrder order;
  order.layers.reserve(batch.call_starts.size() - 1);
  order.calls.reserve(batch.input_starts.size() - 1);
  Walk walk(batch, order);
  for (std::size_t graph = 0; graph + 1 < batch.layer_starts.size(); ++graph) {
    walk.run(graph, outputs.subspan(
                        static_cast<std::size_t>(output_starts[graph]),
                        static_cast<std::size_t>(output_starts[graph + 1] - output_starts[graph])));
  }
  return order;
}

}  // namespace parsl_tl
