// Keras JSON from templates, as Python sees it.
#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "keras_json_lines.hpp"

namespace py = pybind11;

namespace parsl_tl {
namespace {

using Texts = std::vector<std::string>;
using Gaps = std::vector<std::int32_t>;

KerasJsonLines make(const std::vector<std::tuple<std::string, Texts, Gaps>>& layers,
                    const std::string& head, const std::pair<Texts, Gaps>& foot) {
  std::vector<LayerTemplate> templates;
  templates.reserve(layers.size());
  for (const auto& [class_name, pieces, gaps] : layers) {
    templates.push_back({class_name, {pieces, gaps}});
  }
  return {std::move(templates), head, {foot.first, foot.second}};
}

py::bytes write(const KerasJsonLines& lines, const Array<std::int64_t>& layer_starts,
                const Array<std::uint64_t>& hashes, const Array<std::uint32_t>& templates,
                const Array<std::int64_t>& edge_starts, const Array<std::uint32_t>& edges) {
  std::string text;
  {
    const py::gil_scoped_release release;
    text = lines.write(
        {view(layer_starts), view(hashes), view(templates), view(edge_starts), view(edges)});
  }
  return py::bytes(text);
}

}  // namespace

void bind_keras_json(py::module_& module) {
  py::class_<KerasJsonLines>(
      module, "KerasJsonLines",
      "Writes Keras JSON of models in flat arrays; see keras_json_lines.hpp.")
      .def(py::init(&make), py::arg("layers"), py::arg("head"), py::arg("foot"))
      .def("write", &write, py::arg("layer_starts"), py::arg("hashes"), py::arg("templates"),
           py::arg("edge_starts"), py::arg("edges"));
}

}  // namespace parsl_tl
