// Prefix hashes as Python sees them.
#include <pybind11/numpy.h>

#include "bindings.hpp"
#include "checksum.hpp"
#include "prefix_hash.hpp"

namespace py = pybind11;

namespace parsl_tl {
namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

template <typename T>
std::span<const T> view(const Array<T>& array) {
  return {array.data(), static_cast<std::size_t>(array.size())};
}

template <typename T>
py::array_t<T> to_array(std::vector<T> values) {
  auto* owned = new std::vector<T>(std::move(values));
  const py::capsule owner(owned, [](void* pointer) { delete static_cast<std::vector<T>*>(pointer); });
  return py::array_t<T>({static_cast<py::ssize_t>(owned->size())}, owned->data(), owner);
}

}  // namespace

void bind_hash(py::module_& module) {
  module.def(
      "prefix_hashes",
      [](const Array<std::int64_t>& layer_starts, const Array<std::uint64_t>& digests,
         const Array<std::int64_t>& call_starts, const Array<std::uint64_t>& call_digests,
         const Array<std::int64_t>& input_starts, const Array<std::uint32_t>& inputs) {
        if (inputs.size() % 3 != 0) throw py::value_error("inputs are triples");
        const GraphBatch batch{
            view(layer_starts), view(digests),      view(call_starts),
            view(call_digests), view(input_starts),
            {reinterpret_cast<const TensorSource*>(inputs.data()),
             static_cast<std::size_t>(inputs.size() / 3)}};
        std::vector<std::uint64_t> hashes;
        {
          const py::gil_scoped_release release;
          hashes = prefix_hashes(batch);
        }
        return to_array(std::move(hashes));
      },
      py::arg("layer_starts"), py::arg("digests"), py::arg("call_starts"), py::arg("call_digests"),
      py::arg("input_starts"), py::arg("inputs"),
      "One prefix hash per layer of a batch of graphs in flat (CSR) arrays; see prefix_hash.hpp.");
  module.def(
      "combine", [](const Array<std::uint64_t>& words) { return combine(view(words)); },
      py::arg("words"), "XXH3-64 over the little-endian words.");
  module.def(
      "digest",
      [](const std::string& data) { return checksum(data.data(), data.size()); },
      py::arg("data"), "XXH3-64 of the bytes.");
}

}  // namespace parsl_tl
