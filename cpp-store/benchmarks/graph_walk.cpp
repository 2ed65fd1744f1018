#include "graph_walk.hpp"

#include <algorithm>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <string>
#include <tuple>

namespace parsl_tl {
namespace {

constexpr std::uint32_t kNone = UINT32_MAX;

/// A layer of the query.
struct Step {
  std::uint64_t digest;
  std::vector<std::uint32_t> inputs;    // steps, in order
  std::vector<std::uint32_t> children;  // steps that have this one among their inputs
};

struct Query {
  std::vector<Step> steps;
  std::vector<std::uint32_t> step_of;  // of each layer
  std::vector<std::uint32_t> roots;
};

/// Memory that one query uses again for every stored graph.
struct Scratch {
  std::vector<std::uint32_t> step_of;  // of visited vertices
  std::vector<std::uint32_t> visits;   // in-edges seen so far
  std::vector<bool> taken;             // steps that are matched
  std::vector<Vertex> frontier;
};

/// Walks the query's own graph once, instead of together with every stored graph.
Query prepare(const ArrayGraph& graph) {
  Query query;
  std::vector<std::uint32_t> step_of(graph.size(), kNone);
  std::vector<std::uint32_t> visits(graph.size(), 0);
  std::vector<Vertex> frontier;

  const auto enter = [&](Vertex v, std::vector<std::uint32_t> inputs) {
    const auto step = static_cast<std::uint32_t>(query.steps.size());
    if (inputs.empty()) query.roots.push_back(step);
    for (const std::uint32_t input : inputs) {
      auto& children = query.steps[input].children;
      if (children.empty() || children.back() != step) children.push_back(step);
    }
    query.steps.push_back({graph.digest(v), std::move(inputs), {}});
    step_of[v] = step;
    frontier.push_back(v);
  };

  for (const Vertex root : graph.roots()) enter(root, {});
  for (std::size_t head = 0; head < frontier.size(); ++head) {
    for (const Vertex v : graph.followers(frontier[head])) {
      const auto sources = graph.sources(v);
      if (++visits[v] != sources.size()) continue;
      std::vector<std::uint32_t> inputs(sources.size());
      std::transform(sources.begin(), sources.end(), inputs.begin(),
                     [&](Vertex source) { return step_of[source]; });
      enter(v, std::move(inputs));
    }
  }
  query.step_of = std::move(step_of);
  return query;
}

/// Returns the number of common layers.
template <class Graph>
std::uint32_t walk(const Query& query, const Graph& stored, Scratch& scratch) {
  scratch.step_of.assign(stored.size(), kNone);
  scratch.visits.assign(stored.size(), 0);
  scratch.taken.assign(query.steps.size(), false);
  scratch.frontier.clear();
  std::uint32_t prefix = 0;

  // Of twins, the first that is met takes the first step, and so on.
  const auto matches = [&](Vertex v, std::uint32_t step) {
    return !scratch.taken[step] && query.steps[step].digest == stored.digest(v);
  };
  const auto enter = [&](Vertex v, std::uint32_t step) {
    scratch.step_of[v] = step;
    scratch.taken[step] = true;
    scratch.frontier.push_back(v);
    ++prefix;
  };

  for (const Vertex root : stored.roots()) {
    const auto step = std::find_if(query.roots.begin(), query.roots.end(),
                                   [&](std::uint32_t found) { return matches(root, found); });
    if (step != query.roots.end()) enter(root, *step);
  }
  for (std::size_t head = 0; head < scratch.frontier.size(); ++head) {
    const Vertex u = scratch.frontier[head];
    const auto& candidates = query.steps[scratch.step_of[u]].children;
    if (candidates.empty()) continue;
    for (const Vertex v : stored.followers(u)) {
      const auto sources = stored.sources(v);
      if (++scratch.visits[v] != sources.size()) continue;
      for (const std::uint32_t candidate : candidates) {
        const auto& inputs = query.steps[candidate].inputs;
        if (matches(v, candidate) &&
            std::equal(sources.begin(), sources.end(), inputs.begin(), inputs.end(),
                       [&](Vertex source, std::uint32_t input) {
                         return scratch.step_of[source] == input;
                       })) {
          enter(v, candidate);
          break;
        }
      }
    }
  }
  return prefix;
}

}  // namespace

void WalkInput::check() const {
  for (std::size_t i = 0; i + 1 < edges.size(); i += 2) {
    if (edges[i] >= digests.size() || edges[i + 1] >= digests.size()) {
      throw std::invalid_argument("an edge from layer " + std::to_string(edges[i]) + " to layer " +
                                  std::to_string(edges[i + 1]) + " of a graph of " +
                                  std::to_string(digests.size()));
    }
  }
}

HashMapGraph::HashMapGraph(const WalkInput& graph) {
  graph.check();
  const auto count = static_cast<Vertex>(graph.digests.size());
  out_edges_.reserve(count);
  in_edges_.reserve(count);
  digests_.reserve(count);
  for (Vertex v = 0; v < count; ++v) digests_.emplace(v, graph.digests[v]);
  for (std::size_t i = 0; i + 1 < graph.edges.size(); i += 2) {
    out_edges_[graph.edges[i]].push_back(graph.edges[i + 1]);
    in_edges_[graph.edges[i + 1]].push_back(graph.edges[i]);
  }
  for (Vertex v = 0; v < count; ++v) {
    if (!in_edges_.contains(v)) roots_.push_back(v);
  }
}

ArrayGraph::ArrayGraph(const WalkInput& graph)
    : digests_(graph.digests.begin(), graph.digests.end()) {
  graph.check();
  const std::size_t count = digests_.size();
  std::vector<std::uint32_t> sizes(2 * count);  // out-degrees, then in-degrees
  for (std::size_t i = 0; i + 1 < graph.edges.size(); i += 2) {
    ++sizes[graph.edges[i]];
    ++sizes[count + graph.edges[i + 1]];
  }
  const auto num_roots =
      static_cast<std::uint32_t>(std::count(sizes.begin() + count, sizes.end(), 0u));
  const std::size_t offset = 2 * count + 1;
  numbers_.resize(offset + num_roots + graph.edges.size());
  numbers_[0] = num_roots;
  std::inclusive_scan(sizes.begin(), sizes.end(), numbers_.begin() + 1, std::plus<>(), num_roots);

  std::size_t root = offset;
  for (Vertex v = 0; v < count; ++v) {
    if (sizes[count + v] == 0) numbers_[root++] = v;
  }
  std::vector<std::uint32_t> next(numbers_.begin(), numbers_.begin() + 2 * count);
  for (std::size_t i = 0; i + 1 < graph.edges.size(); i += 2) {
    const Vertex source = graph.edges[i];
    const Vertex target = graph.edges[i + 1];
    numbers_[offset + next[source]++] = target;
    numbers_[offset + next[count + target]++] = source;
  }
}

template <class Graph>
void BasicGraphWalk<Graph>::add(std::uint64_t model_id, double quality, const WalkInput& graph) {
  models_.push_back({model_id, quality, Graph(graph)});
}

/// Gives the model's place among those given, or their number, and how many layers are common.
template <class Models>
std::pair<std::size_t, std::uint32_t> longest_of(const Models& models, const Query& query,
                                                 Scratch& scratch) {
  const typename Models::value_type* winner = nullptr;
  std::uint32_t longest = 0;
  for (const auto& model : models) {
    const std::uint32_t length = walk(query, model.graph, scratch);
    // Models stand in the order in which they were added, so that an equal one is a later one.
    if (length > 0 && (winner == nullptr ||
                       std::tuple(length, model.quality) >= std::tuple(longest, winner->quality))) {
      winner = &model;
      longest = length;
    }
  }
  if (winner == nullptr) return {models.size(), 0};
  return {static_cast<std::size_t>(winner - models.data()), longest};
}

template <class Graph>
std::optional<WalkBest> BasicGraphWalk<Graph>::best(const WalkInput& graph) const {
  Scratch scratch;
  const auto [place, longest] = longest_of(models_, prepare(ArrayGraph(graph)), scratch);
  if (place == models_.size()) return std::nullopt;
  return WalkBest{models_[place].id, longest};
}

template <class Graph>
std::optional<WalkMatch> BasicGraphWalk<Graph>::match(const WalkInput& graph) const {
  const Query query = prepare(ArrayGraph(graph));
  Scratch scratch;
  const std::size_t place = longest_of(models_, query, scratch).first;
  if (place == models_.size()) return std::nullopt;
  walk(query, models_[place].graph, scratch);
  WalkMatch match{models_[place].id, {}};
  for (Vertex v = 0; v < query.step_of.size(); ++v) {
    const std::uint32_t step = query.step_of[v];
    if (step != kNone && scratch.taken[step]) match.layers.push_back(v);
  }
  return match;
}

template class BasicGraphWalk<HashMapGraph>;
template class BasicGraphWalk<ArrayGraph>;

}  // namespace parsl_tl
