// The published way to find the stored model with the longest common prefix, to compare with: a
// walk over every stored graph (M. Madhyastha et al., "DStore", 2023, and R. Underwood et al.,
// "EvoStore", 2024).
//
// Each graph is kept as adjacency in hash maps. The query walks every stored graph breadth-first
// from its inputs together with the query's own graph; a layer joins the prefix when all of its
// in-edges, counted in both graphs, come from the prefix and the layers themselves agree.
//
// The published code names a layer by its configuration, so that equal layers of two models are one
// vertex and the input order does not count. Here a vertex is a layer's number in its model. A pair
// of vertices agrees when digests are equal and in-edges come, in order, from layers that agree.
// Of equal layers on equal inputs (twins) the first listed agrees with the first listed, and so on.
// So the result is that of intersecting layer keys, with what edges cannot tell left out: the form
// of a call's arguments, which output of a layer goes in, and layers on a cycle, which no walk
// reaches.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

namespace parsl_tl {

using Vertex = std::uint32_t;

/// One graph: a digest per layer, and (source, target) pairs. The edges of a layer stand in the
/// order of its inputs; a source that goes in twice has two edges.
struct WalkInput {
  std::span<const std::uint64_t> digests;
  std::span<const std::uint32_t> edges;  // flat pairs

  /// Throws std::invalid_argument for an edge of a layer that the graph does not have.
  void check() const;
};

/// The published form: adjacency in hash maps.
class HashMapGraph {
 public:
  explicit HashMapGraph(const WalkInput& graph);

  std::size_t size() const { return digests_.size(); }
  std::span<const Vertex> roots() const { return roots_; }
  std::uint64_t digest(Vertex v) const { return digests_.find(v)->second; }
  std::span<const Vertex> followers(Vertex v) const { return find(out_edges_, v); }
  std::span<const Vertex> sources(Vertex v) const { return find(in_edges_, v); }

 private:
  using Edges = std::unordered_map<Vertex, std::vector<Vertex>>;

  static std::span<const Vertex> find(const Edges& edges, Vertex v) {
    const auto found = edges.find(v);
    return found == edges.end() ? std::span<const Vertex>() : found->second;
  }

  Edges out_edges_;
  Edges in_edges_;  // in order; the size is the in-degree
  std::unordered_map<Vertex, std::uint64_t> digests_;
  std::vector<Vertex> roots_;  // layers without in-edges
};

/// The same in two arrays per graph. No publication goes as far; it shows what of a difference is
/// the maps' and what is the walk's.
class ArrayGraph {
 public:
  explicit ArrayGraph(const WalkInput& graph);

  std::size_t size() const { return digests_.size(); }
  std::span<const Vertex> roots() const { return cut(0, numbers_[0]); }
  std::uint64_t digest(Vertex v) const { return digests_[v]; }
  std::span<const Vertex> followers(Vertex v) const { return cut(numbers_[v], numbers_[v + 1]); }
  std::span<const Vertex> sources(Vertex v) const {
    const std::size_t start = digests_.size() + v;
    return cut(numbers_[start], numbers_[start + 1]);
  }

 private:
  std::span<const Vertex> cut(std::uint32_t first, std::uint32_t last) const {
    const std::size_t offset = 2 * digests_.size() + 1;
    return {numbers_.data() + offset + first, numbers_.data() + offset + last};
  }

  std::vector<std::uint64_t> digests_;
  // Where the followers of each layer start, where its sources start, the end; then roots,
  // followers and sources one after the other.
  std::vector<std::uint32_t> numbers_;
};

struct WalkBest {
  std::uint64_t model_id;
  std::uint32_t num_layers;
};

struct WalkMatch {
  std::uint64_t model_id;
  std::vector<Vertex> layers;
};

template <class Graph>
class BasicGraphWalk {
 public:
  /// Throws std::invalid_argument for a graph whose edges do not fit.
  void add(std::uint64_t model_id, double quality, const WalkInput& graph);

  /// The model with the most layers in common; ties go to the higher quality, then to the one that
  /// was added last. Nothing if no model shares a layer. Safe to call from several threads.
  std::optional<WalkBest> best(const WalkInput& query) const;
  /// The same, and which layers of the query those are.
  std::optional<WalkMatch> match(const WalkInput& query) const;

  std::size_t size() const noexcept { return models_.size(); }

 private:
  struct Model {
    std::uint64_t id;
    double quality;
    Graph graph;
  };

  std::vector<Model> models_;
};

using GraphWalk = BasicGraphWalk<HashMapGraph>;
using ArrayGraphWalk = BasicGraphWalk<ArrayGraph>;

}  // namespace parsl_tl
