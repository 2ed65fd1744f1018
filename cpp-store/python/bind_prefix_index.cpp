// The engine's inverted index without a store around it, as Python sees it.
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <shared_mutex>
#include <unordered_set>

#include "arrays.hpp"
#include "bindings.hpp"
#include "delta_index.hpp"
#include "errors.hpp"
#include "flat_models.hpp"
#include "parallel.hpp"

namespace py = pybind11;

namespace parsl_tl {
namespace {

/// Calls of several threads are in order: many may ask, and one may change it.
class PrefixIndex {
 public:
  void add(const Array<std::uint64_t>& ids, const Array<std::int64_t>& starts,
           const Array<std::uint64_t>& keys, const Array<double>& qualities,
           const Array<std::uint64_t>& sequences, const Array<std::uint64_t>& fingerprints) {
    const auto id = view(ids);
    const auto start = view(starts);
    const auto quality = view(qualities);
    const auto sequence = view(sequences);
    const auto fingerprint = view(fingerprints);
    check_starts(start, id.size(), view(keys).size());
    if (quality.size() != id.size() || sequence.size() != id.size() ||
        fingerprint.size() != id.size()) {
      throw StoreException(ErrorCode::kInvalidValue,
                           "one quality, sequence and fingerprint is needed for each model");
    }
    const py::gil_scoped_release release;
    const std::lock_guard guard(mutex_);
    std::vector<DeltaIndex::Entry> layers;
    for (std::size_t i = 0; i < id.size(); ++i) {
      if (!std::isfinite(quality[i])) {
        throw StoreException(ErrorCode::kInvalidValue,
                             "the quality of model " + hex_id(id[i]) + " is no finite number");
      }
      if (index_.contains(id[i])) {
        throw StoreException(ErrorCode::kExists, "model " + hex_id(id[i]) + " is in the index");
      }
      layers.clear();
      for (auto at = start[i]; at < start[i + 1]; ++at) {
        layers.push_back({view(keys)[static_cast<std::size_t>(at)], 0});
      }
      check_distinct(id[i], layers);
      index_.add({id[i], quality[i], sequence[i], fingerprint[i]}, layers);
    }
  }

  void remove(std::uint64_t id) {
    const py::gil_scoped_release release;
    const std::lock_guard guard(mutex_);
    if (!index_.contains(id)) {
      throw StoreException(ErrorCode::kNotFound, "model " + hex_id(id) + " is not in the index");
    }
    index_.remove(id);
  }

  /// One row per query: the model's id, the number of common layers (0 if there is no model), its
  /// quality, and its sequence.
  py::tuple best(const Array<std::int64_t>& starts, const Array<std::uint64_t>& keys,
                 const std::optional<std::unordered_set<std::uint64_t>>& fingerprints,
                 unsigned threads) const {
    const auto start = view(starts);
    const std::size_t count = start.empty() ? 0 : start.size() - 1;
    check_starts(start, count, view(keys).size());
    std::vector<Donor> donors(count);
    QueryOptions options;
    if (fingerprints) options.fingerprints = IdSet(*fingerprints);
    {
      const py::gil_scoped_release release;
      const std::shared_lock guard(mutex_);
      parallel_for(donors.size(), threads, [&](std::size_t i) {
        const auto first = static_cast<std::size_t>(start[i]);
        const auto size = static_cast<std::size_t>(start[i + 1]) - first;
        index_.search(Query(view(keys).subspan(first, size), {}, options), donors[i]);
      });
    }
    std::vector<std::uint64_t> ids;
    std::vector<std::int64_t> lengths;
    std::vector<double> qualities;
    std::vector<std::uint64_t> sequences;
    for (const Donor& donor : donors) {
      ids.push_back(donor.model_id);
      lengths.push_back(static_cast<std::int64_t>(donor.score));
      qualities.push_back(donor.quality);
      sequences.push_back(donor.sequence);
    }
    return py::make_tuple(to_array(std::move(ids)), to_array(std::move(lengths)),
                          to_array(std::move(qualities)), to_array(std::move(sequences)));
  }

  std::size_t size() const {
    const std::shared_lock guard(mutex_);
    return index_.num_models();
  }
  std::size_t num_bytes() const {
    const std::shared_lock guard(mutex_);
    return index_.num_bytes();
  }

 private:
  static void check_distinct(std::uint64_t id, std::span<const DeltaIndex::Entry> layers) {
    std::vector<std::uint64_t> keys;
    for (const auto& layer : layers) keys.push_back(layer.key);
    std::ranges::sort(keys);
    if (std::ranges::adjacent_find(keys) != keys.end()) {
      throw StoreException(ErrorCode::kInvalidValue,
                           "model " + hex_id(id) + " has a key twice; number twins (layer_keys)");
    }
  }

  mutable std::shared_mutex mutex_;
  DeltaIndex index_;
};

}  // namespace

void bind_prefix_index(py::module_& module) {
  py::class_<PrefixIndex>(module, "PrefixIndex",
                          "Which model shares the most layers? In memory; see delta_index.hpp.")
      .def(py::init<>())
      .def("add", &PrefixIndex::add, py::arg("ids"), py::arg("layer_starts"), py::arg("keys"),
           py::arg("qualities"), py::arg("sequences"), py::arg("fingerprints"))
      .def("remove", &PrefixIndex::remove, py::arg("model_id"))
      .def("best", &PrefixIndex::best, py::arg("layer_starts"), py::arg("keys"),
           py::arg("fingerprints"), py::arg("threads"))
      .def("num_bytes", &PrefixIndex::num_bytes)
      .def("__len__", &PrefixIndex::size);
}

}  // namespace parsl_tl
