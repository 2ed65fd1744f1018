// The Python module parsl_tl._baselines: walks over graphs, to compare the store's index with.
#include <pybind11/stl.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <stdexcept>
#include <thread>

#include "arrays.hpp"
#include "graph_walk.hpp"

namespace py = pybind11;

namespace parsl_tl {
namespace {

/// Many graphs in flat arrays, checked.
struct Graphs {
  std::span<const std::int64_t> layer_starts;
  std::span<const std::uint64_t> digests;
  std::span<const std::int64_t> edge_starts;
  std::span<const std::uint32_t> edges;

  Graphs(const Array<std::int64_t>& layer_starts_, const Array<std::uint64_t>& digests_,
         const Array<std::int64_t>& edge_starts_, const Array<std::uint32_t>& edges_)
      : layer_starts(view(layer_starts_)),
        digests(view(digests_)),
        edge_starts(view(edge_starts_)),
        edges(view(edges_)) {
    const auto rises = [](std::span<const std::int64_t> starts, std::size_t end) {
      return !starts.empty() && starts.front() == 0 &&
             starts.back() == static_cast<std::int64_t>(end) &&
             std::is_sorted(starts.begin(), starts.end());
    };
    if (!rises(layer_starts, digests.size()) || edges.size() % 2 != 0 ||
        !rises(edge_starts, edges.size() / 2) || layer_starts.size() != edge_starts.size()) {
      throw std::invalid_argument("starts must rise from 0 to the number of items");
    }
  }

  std::size_t size() const { return layer_starts.size() - 1; }

  WalkInput operator[](std::size_t i) const {
    const auto cut = [i](auto items, std::span<const std::int64_t> starts, std::size_t width) {
      const auto first = static_cast<std::size_t>(starts[i]);
      const auto last = static_cast<std::size_t>(starts[i + 1]);
      return items.subspan(first * width, (last - first) * width);
    };
    return {cut(digests, layer_starts, 1), cut(edges, edge_starts, 2)};
  }
};

WalkInput one_graph(const Array<std::uint64_t>& digests, const Array<std::uint32_t>& edges) {
  if (edges.size() % 2 != 0) throw std::invalid_argument("edges are pairs");
  return {view(digests), view(edges)};
}

template <class Walk>
void add_many(Walk& walk, const Array<std::uint64_t>& model_ids, const Array<double>& qualities,
              const Array<std::int64_t>& layer_starts, const Array<std::uint64_t>& digests,
              const Array<std::int64_t>& edge_starts, const Array<std::uint32_t>& edges) {
  const Graphs graphs(layer_starts, digests, edge_starts, edges);
  const auto ids = view(model_ids);
  const auto values = view(qualities);
  if (ids.size() != graphs.size() || values.size() != graphs.size()) {
    throw std::invalid_argument("one model id and one quality per graph");
  }
  const py::gil_scoped_release release;
  for (std::size_t i = 0; i < graphs.size(); ++i) walk.add(ids[i], values[i], graphs[i]);
}

template <class Walk>
py::tuple best_many(const Walk& walk, const Array<std::int64_t>& layer_starts,
                    const Array<std::uint64_t>& digests, const Array<std::int64_t>& edge_starts,
                    const Array<std::uint32_t>& edges, unsigned threads) {
  const Graphs queries(layer_starts, digests, edge_starts, edges);
  if (threads == 0) throw std::invalid_argument("threads must be at least 1");
  py::array_t<std::uint64_t> ids(static_cast<py::ssize_t>(queries.size()));
  py::array_t<std::uint32_t> lengths(static_cast<py::ssize_t>(queries.size()));
  auto* id = ids.mutable_data();
  auto* length = lengths.mutable_data();
  {
    const py::gil_scoped_release release;
    std::atomic<std::size_t> next{0};
    std::vector<std::exception_ptr> failures(threads);
    const auto work = [&](unsigned number) {
      try {
        for (std::size_t i = next++; i < queries.size(); i = next++) {
          const auto found = walk.best(queries[i]);
          id[i] = found ? found->model_id : 0;
          length[i] = found ? found->num_layers : 0;
        }
      } catch (...) {
        failures[number] = std::current_exception();
      }
    };
    {
      std::vector<std::jthread> others;
      for (unsigned number = 1; number < threads; ++number) others.emplace_back(work, number);
      work(0);
    }
    for (const auto& failure : failures) {
      if (failure) std::rethrow_exception(failure);
    }
  }
  return py::make_tuple(ids, lengths);
}

template <class Walk>
void bind_walk(py::module_& module, const char* name, const char* documentation) {
  py::class_<Walk>(module, name, documentation)
      .def(py::init<>())
      .def("__len__", &Walk::size)
      .def(
          "add",
          [](Walk& walk, std::uint64_t model_id, double quality,
             const Array<std::uint64_t>& digests, const Array<std::uint32_t>& edges) {
            const WalkInput graph = one_graph(digests, edges);
            const py::gil_scoped_release release;
            walk.add(model_id, quality, graph);
          },
          py::arg("model_id"), py::arg("quality"), py::arg("layer_digests"), py::arg("edges"))
      .def("add_many", &add_many<Walk>, py::arg("model_ids"), py::arg("qualities"),
           py::arg("layer_starts"), py::arg("layer_digests"), py::arg("edge_starts"),
           py::arg("edges"))
      .def(
          "best",
          [](const Walk& walk, const Array<std::uint64_t>& digests,
             const Array<std::uint32_t>& edges)
              -> std::optional<std::pair<std::uint64_t, std::uint32_t>> {
            const WalkInput query = one_graph(digests, edges);
            const py::gil_scoped_release release;
            const auto found = walk.best(query);
            if (!found) return std::nullopt;
            return std::pair{found->model_id, found->num_layers};
          },
          py::arg("layer_digests"), py::arg("edges"),
          "Returns (model id, number of common layers), or None.")
      .def("best_many", &best_many<Walk>, py::arg("layer_starts"), py::arg("layer_digests"),
           py::arg("edge_starts"), py::arg("edges"), py::arg("threads") = 1,
           "Returns model ids (uint64) and numbers of layers (uint32, 0: no model) per query.");
}

}  // namespace
}  // namespace parsl_tl

PYBIND11_MODULE(_baselines, module) {
  using namespace parsl_tl;
  module.doc() = "What benchmarks compare the store's index of prefixes with.";
  bind_walk<GraphWalk>(module, "GraphWalk",
                       "Longest common prefixes by walking every stored graph, kept in hash maps; "
                       "see graph_walk.hpp.");
  bind_walk<ArrayGraphWalk>(module, "ArrayGraphWalk", "GraphWalk on graphs kept in arrays.");
}
