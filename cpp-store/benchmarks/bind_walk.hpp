// The walk over graphs that a bare server answers with, for the client of any transport.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "graph_walk.hpp"

namespace parsl_tl {

namespace py = pybind11;

using DigestArray = py::array_t<std::uint64_t, py::array::c_style>;
using EdgeArray = py::array_t<std::uint32_t, py::array::c_style>;

inline WalkInput walk_input(const DigestArray& digests, const EdgeArray& edges) {
  return {{digests.data(), static_cast<std::size_t>(digests.size())},
          {edges.data(), static_cast<std::size_t>(edges.size())}};
}

/// Adds `add_graph` and `walk`, which gives (model id, numbers of the common layers) or None.
template <typename Client>
void bind_walk_calls(py::class_<Client>& bound) {
  bound
      .def(
          "add_graph",
          [](Client& client, std::uint64_t model_id, double quality, const DigestArray& digests,
             const EdgeArray& edges) {
            const WalkInput graph = walk_input(digests, edges);
            const py::gil_scoped_release release;
            client.add_graph(model_id, quality, graph);
          },
          py::arg("model_id"), py::arg("quality"), py::arg("layer_digests"), py::arg("edges"))
      .def(
          "walk",
          [](Client& client, const DigestArray& digests, const EdgeArray& edges) -> py::object {
            const auto match = [&] {
              const WalkInput graph = walk_input(digests, edges);
              const py::gil_scoped_release release;
              return client.walk(graph);
            }();
            if (!match) return py::none();
            return py::make_tuple(
                match->model_id,
                py::array_t<std::uint32_t>(static_cast<py::ssize_t>(match->layers.size()),
                                           match->layers.data()));
          },
          py::arg("layer_digests"), py::arg("edges"));
}

}  // namespace parsl_tl
