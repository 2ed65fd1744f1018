// Prefix hashes as Python sees them.
#include <pybind11/pybind11.h>

#include <algorithm>

#include "arrays.hpp"
#include "bindings.hpp"
#include "canonical_order.hpp"
#include "checksum.hpp"
#include "flat_models.hpp"
#include "layer_name.hpp"
#include "prefix_hash.hpp"

namespace py = pybind11;

namespace parsl_tl {
namespace {

/// One key per layer, unique in its model: the hash, combined with k for the k-th further twin.
std::vector<std::uint64_t> layer_keys(std::span<const std::int64_t> starts,
                                      std::span<const std::uint64_t> hashes) {
  const std::size_t models = starts.empty() ? 0 : starts.size() - 1;
  check_starts(starts, models, hashes.size());
  std::vector<std::uint64_t> keys(hashes.begin(), hashes.end());
  std::vector<std::pair<std::uint64_t, std::size_t>> sorted;
  for (std::size_t model = 0; model < models; ++model) {
    const auto first = static_cast<std::size_t>(starts[model]);
    const auto end = static_cast<std::size_t>(starts[model + 1]);
    sorted.clear();
    for (std::size_t i = first; i < end; ++i) sorted.emplace_back(hashes[i], i);
    std::sort(sorted.begin(), sorted.end());
    std::uint64_t twin = 0;
    for (std::size_t i = 1; i < sorted.size(); ++i) {
      twin = sorted[i].first == sorted[i - 1].first ? twin + 1 : 0;
      if (twin > 0) keys[sorted[i].second] = layer_key(sorted[i].first, twin);
    }
  }
  return keys;
}

std::span<const TensorSource> view_sources(const Array<std::uint32_t>& triples) {
  if (triples.size() % 3 != 0) throw py::value_error("tensors are triples");
  return {reinterpret_cast<const TensorSource*>(triples.data()),
          static_cast<std::size_t>(triples.size() / 3)};
}

}  // namespace

void bind_hash(py::module_& module) {
  module.def(
      "prefix_hashes",
      [](const Array<std::int64_t>& layer_starts, const Array<std::uint64_t>& digests,
         const Array<std::int64_t>& call_starts, const Array<std::uint64_t>& call_digests,
         const Array<std::int64_t>& input_starts, const Array<std::uint32_t>& inputs) {
        const GraphBatch batch{
            {view(layer_starts), view(call_starts), view(input_starts), view_sources(inputs)},
            view(digests),
            view(call_digests)};
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
      "canonical_order",
      [](const Array<std::int64_t>& layer_starts, const Array<std::int64_t>& call_starts,
         const Array<std::int64_t>& input_starts, const Array<std::uint32_t>& inputs,
         const Array<std::int64_t>& output_starts, const Array<std::uint32_t>& outputs) {
        const CallBatch batch{view(layer_starts), view(call_starts), view(input_starts),
                              view_sources(inputs)};
        CanonicalOrder order;
        {
          const auto tensors = view_sources(outputs);
          const py::gil_scoped_release release;
          order = canonical_order(batch, view(output_starts), tensors);
        }
        return py::make_tuple(to_array(std::move(order.layers)), to_array(std::move(order.calls)));
      },
      py::arg("layer_starts"), py::arg("call_starts"), py::arg("input_starts"), py::arg("inputs"),
      py::arg("output_starts"), py::arg("outputs"),
      "For each place in each graph its layer, and for each call its number; see "
      "canonical_order.hpp.");
  module.def(
      "layer_keys",
      [](const Array<std::int64_t>& layer_starts, const Array<std::uint64_t>& prefix_hashes) {
        std::vector<std::uint64_t> keys;
        {
          const py::gil_scoped_release release;
          keys = layer_keys(view(layer_starts), view(prefix_hashes));
        }
        return to_array(std::move(keys));
      },
      py::arg("layer_starts"), py::arg("prefix_hashes"),
      "One key per layer of a batch of graphs in flat (CSR) arrays, unique in its graph.");
  module.def(
      "combine", [](const Array<std::uint64_t>& words) { return combine(view(words)); },
      py::arg("words"), "XXH3-64 over the little-endian words.");
  module.def(
      "digest", [](const std::string& data) { return checksum(data.data(), data.size()); },
      py::arg("data"), "XXH3-64 of the bytes.");
}

}  // namespace parsl_tl
