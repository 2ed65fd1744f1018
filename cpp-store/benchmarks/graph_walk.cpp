#include "graph_walk.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <tuple>

namespace parsl_tl {
namespace {

constexpr std::uint32_t kNone = UINT32_MAX;

}  // namespace

GraphWalk::Adjacency GraphWalk::adjacency(const WalkInput& graph) {
  const auto count = static_cast<Vertex>(graph.digests.size());
  Adjacency made;
  made.out_edges.reserve(count);
  made.in_edges.reserve(count);
  made.digests.reserve(count);
  for (Vertex v = 0; v < count; ++v) made.digests.emplace(v, graph.digests[v]);
  for (std::size_t i = 0; i + 1 < graph.edges.size(); i += 2) {
    const Vertex source = graph.edges[i];
    const Vertex target = graph.edges[i + 1];
    if (source >= count || target >= count) {
      throw std::invalid_argument("an edge from layer " + std::to_string(source) + " to layer " +
                                  std::to_string(target) + " of a graph of " +
                                  std::to_string(count));
    }
    made.out_edges[source].push_back(target);
    made.in_edges[target].push_back(source);
  }
  for (Vertex v = 0; v < count; ++v) {
    if (!made.in_edges.contains(v)) made.roots.push_back(v);
  }
  return made;
}

/// Walks the query's own graph once, so that twins are known before the stored graphs are walked.
GraphWalk::Query GraphWalk::prepare(const Adjacency& graph) {
  Query query;
  std::vector<std::uint32_t> group_of(graph.digests.size(), kNone);
  std::vector<std::uint32_t> visits(graph.digests.size(), 0);
  std::vector<Vertex> frontier;

  const auto enter = [&](Vertex v, std::vector<std::uint32_t> inputs) {
    const std::uint64_t digest = graph.digests.at(v);
    auto& siblings = inputs.empty() ? query.roots : query.groups[inputs.front()].children;
    std::uint32_t group = kNone;
    for (const std::uint32_t other : siblings) {
      if (query.groups[other].digest == digest && query.groups[other].inputs == inputs) {
        group = other;
      }
    }
    if (group == kNone) {
      group = static_cast<std::uint32_t>(query.groups.size());
      if (inputs.empty()) query.roots.push_back(group);
      for (const std::uint32_t input : inputs) {
        auto& children = query.groups[input].children;
        if (children.empty() || children.back() != group) children.push_back(group);
      }
      query.groups.push_back({digest, std::move(inputs), {}, 0});
    }
    ++query.groups[group].count;
    group_of[v] = group;
    frontier.push_back(v);
  };

  for (const Vertex root : graph.roots) enter(root, {});
  for (std::size_t head = 0; head < frontier.size(); ++head) {
    const auto followers = graph.out_edges.find(frontier[head]);
    if (followers == graph.out_edges.end()) continue;
    for (const Vertex v : followers->second) {
      const auto& sources = graph.in_edges.at(v);
      if (++visits[v] != sources.size()) continue;
      std::vector<std::uint32_t> inputs(sources.size());
      std::transform(sources.begin(), sources.end(), inputs.begin(),
                     [&](Vertex source) { return group_of[source]; });
      enter(v, std::move(inputs));
    }
  }
  return query;
}

std::uint32_t GraphWalk::walk(const Query& query, const Adjacency& stored, Scratch& scratch) {
  scratch.group_of.assign(stored.digests.size(), kNone);
  scratch.visits.assign(stored.digests.size(), 0);
  scratch.taken.assign(query.groups.size(), 0);
  scratch.frontier.clear();
  std::uint32_t prefix = 0;

  const auto enter = [&](Vertex v, std::uint32_t group) {
    scratch.group_of[v] = group;
    // A twin that the query has no partner for adds nothing, but leads to layers that may.
    if (scratch.taken[group]++ < query.groups[group].count) ++prefix;
    scratch.frontier.push_back(v);
  };

  for (const Vertex root : stored.roots) {
    const std::uint64_t digest = stored.digests.find(root)->second;
    for (const std::uint32_t group : query.roots) {
      if (query.groups[group].digest == digest) enter(root, group);
    }
  }
  for (std::size_t head = 0; head < scratch.frontier.size(); ++head) {
    const Vertex u = scratch.frontier[head];
    const auto& candidates = query.groups[scratch.group_of[u]].children;
    if (candidates.empty()) continue;
    const auto followers = stored.out_edges.find(u);
    if (followers == stored.out_edges.end()) continue;
    for (const Vertex v : followers->second) {
      const auto& sources = stored.in_edges.find(v)->second;
      if (++scratch.visits[v] != sources.size()) continue;
      const std::uint64_t digest = stored.digests.find(v)->second;
      for (const std::uint32_t candidate : candidates) {
        const Group& group = query.groups[candidate];
        if (group.digest == digest &&
            std::equal(sources.begin(), sources.end(), group.inputs.begin(), group.inputs.end(),
                       [&](Vertex source, std::uint32_t input) {
                         return scratch.group_of[source] == input;
                       })) {
          enter(v, candidate);
          break;
        }
      }
    }
  }
  return prefix;
}

void GraphWalk::add(std::uint64_t model_id, double quality, const WalkInput& graph) {
  models_.push_back({model_id, quality, adjacency(graph)});
}

std::optional<GraphWalk::Best> GraphWalk::best(const WalkInput& graph) const {
  const Query query = prepare(adjacency(graph));
  Scratch scratch;
  const Model* winner = nullptr;
  std::uint32_t longest = 0;
  for (const Model& model : models_) {
    const std::uint32_t length = walk(query, model.graph, scratch);
    // Models stand in the order in which they were added, so that an equal one is a later one.
    if (length > 0 && (winner == nullptr || std::tuple(length, model.quality) >=
                                                std::tuple(longest, winner->quality))) {
      winner = &model;
      longest = length;
    }
  }
  if (winner == nullptr) return std::nullopt;
  return Best{winner->id, longest};
}

}  // namespace parsl_tl
