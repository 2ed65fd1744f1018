// The published way to find the stored model with the longest common prefix, to compare with: a
// walk over every stored graph (B. Nicolae et al., "DStore", and R. Underwood et al., "EvoStore").
//
// Each graph is kept as adjacency in hash maps. The query walks every stored graph breadth-first
// from its inputs together with the query's own graph; a layer joins the prefix when all of its
// in-edges, counted in both graphs, come from the prefix and the layers themselves agree.
//
// The published code names a layer by its configuration, so that equal layers of two models are one
// vertex and the input order does not count. Here a vertex is a layer's number in its model. A pair
// of vertices agrees when digests are equal and in-edges come, in order, from layers that agree.
// Equal layers on equal inputs (twins) count as often as both models have them. So the result is
// that of intersecting prefix hashes, with what edges cannot tell left out: the form of a call's
// arguments, which output of a layer goes in, and layers on a cycle, which no walk ever reaches.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

namespace parsl_tl {

/// One graph: a digest per layer, and (source, target) pairs. The edges of a layer stand in the
/// order of its inputs; a source that goes in twice has two edges.
struct WalkInput {
  std::span<const std::uint64_t> digests;
  std::span<const std::uint32_t> edges;  // flat pairs
};

class GraphWalk {
 public:
  using Vertex = std::uint32_t;
  struct Best {
    std::uint64_t model_id;
    std::uint32_t num_layers;
  };

  /// Throws std::invalid_argument for an edge of a layer that the graph does not have.
  void add(std::uint64_t model_id, double quality, const WalkInput& graph);

  /// The model with the most layers in common; ties go to the higher quality, then to the one that
  /// was added last. Nothing if no model shares a layer. Safe to call from several threads.
  std::optional<Best> best(const WalkInput& query) const;

  std::size_t size() const noexcept { return models_.size(); }

 private:
  struct Adjacency {
    std::unordered_map<Vertex, std::vector<Vertex>> out_edges;
    std::unordered_map<Vertex, std::vector<Vertex>> in_edges;  // in order; its size: the in-degree
    std::unordered_map<Vertex, std::uint64_t> digests;
    std::vector<Vertex> roots;  // layers without in-edges
  };
  struct Model {
    std::uint64_t id;
    double quality;
    Adjacency graph;
  };
  /// Layers of the query that are equal with equal histories.
  struct Group {
    std::uint64_t digest;
    std::vector<std::uint32_t> inputs;    // groups, in order
    std::vector<std::uint32_t> children;  // groups that have this one among their inputs
    std::uint32_t count;                  // how many twins
  };
  struct Query {
    std::vector<Group> groups;
    std::vector<std::uint32_t> roots;
  };
  /// Memory that one query uses again for every stored graph.
  struct Scratch {
    std::vector<std::uint32_t> group_of;  // of visited vertices
    std::vector<std::uint32_t> visits;    // in-edges seen so far
    std::vector<std::uint32_t> taken;     // layers matched per group
    std::vector<Vertex> frontier;
  };

  static Adjacency adjacency(const WalkInput& graph);
  static Query prepare(const Adjacency& graph);
  static std::uint32_t walk(const Query& query, const Adjacency& stored, Scratch& scratch);

  std::vector<Model> models_;
};

}  // namespace parsl_tl
