// The calls that a store offers to Python, the same for the engine and for servers.
#pragma once

#include <pybind11/stl.h>

#include <map>
#include <span>
#include <unordered_set>

#include "arrays.hpp"
#include "arrow_capsules.hpp"
#include "engine.hpp"
#include "errors.hpp"
#include "flat_models.hpp"
#include "remote_store.hpp"

namespace parsl_tl {

namespace py = pybind11;

// layer index, dtype name, shape, the tensor's memory as bytes
using TensorTuple = std::tuple<std::uint32_t, std::string, std::vector<std::int64_t>,
                               py::array_t<std::uint8_t, py::array::c_style>>;

// layers that have weights for certain, and such as may have some
using WeightedLayers = std::pair<std::vector<std::uint32_t>, std::vector<std::uint32_t>>;

template <typename T>
std::vector<T> to_vector(const Array<T>& array) {
  return {array.data(), array.data() + array.size()};
}

template <typename Store>
PutResult put(Store& store, std::uint64_t model_id, double quality,
              std::optional<std::uint64_t> parent, std::optional<std::uint64_t> donor,
              std::uint64_t fingerprint, const Array<std::uint64_t>& keys,
              std::vector<std::string> names, const Array<std::uint32_t>& edges,
              std::string architecture, std::string attributes,
              const std::vector<TensorTuple>& tensors,
              const std::optional<WeightedLayers>& weighted) {
  PutRequest request{model_id,
                     quality,
                     parent,
                     donor,
                     fingerprint,
                     to_vector(keys),
                     std::move(names),
                     to_vector(edges),
                     std::move(architecture),
                     std::move(attributes),
                     {}};
  for (const auto& [layer, dtype, shape, bytes] : tensors) {
    request.tensors.push_back(
        {layer, dtype, shape, std::span(bytes.data(), static_cast<std::size_t>(bytes.size()))});
  }
  if (weighted) request.weighted = {weighted->first, weighted->second};
  const py::gil_scoped_release release;
  return store.put(request);
}

/// Flat (CSR) arrays over all models; see flat_models.hpp.
template <typename Store>
void put_architectures(Store& store, const Array<std::uint64_t>& model_ids,
                       const Array<double>& qualities, const Array<std::uint64_t>& parents,
                       const Array<std::uint8_t>& has_parent,
                       const Array<std::int64_t>& layer_starts,
                       const Array<std::uint64_t>& prefix_hashes,
                       const Array<std::uint32_t>& class_ids,
                       const std::vector<std::string>& class_names,
                       const Array<std::int64_t>& edge_starts, const Array<std::uint32_t>& edges,
                       const Array<std::uint64_t>& fingerprints) {
  const FlatModels models{view(model_ids),  view(qualities),    view(parents),
                          view(has_parent), view(layer_starts), view(prefix_hashes),
                          view(class_ids),  class_names,        view(edge_starts),
                          view(edges),      view(fingerprints)};
  const py::gil_scoped_release release;
  store.put_architectures(models);
}

using IdArgument = std::unordered_set<std::uint64_t>;

inline QueryOptions query_options(const std::string& by, double quality_rate,
                                  std::optional<double> min_quality, IdArgument exclude,
                                  std::optional<IdArgument> fingerprints) {
  static const std::map<std::string, ScoreBy> kNames{
      {"layers", ScoreBy::kLayers}, {"bytes", ScoreBy::kBytes}, {"weights", ScoreBy::kWeights}};
  return {kNames.at(by), quality_rate, min_quality, std::move(exclude), std::move(fingerprints)};
}

/// The best model for each query, and what its prefix scores.
struct BestModels {
  std::vector<Donor> donors;
  std::vector<double> scores;
};

inline BestModels find_best(Engine& engine, const std::vector<RemoteQuery>& given,
                            const QueryOptions& options, unsigned threads) {
  std::vector<Query> queries;
  queries.reserve(given.size());
  for (const RemoteQuery& query : given) queries.emplace_back(query.keys, query.weights, options);
  BestModels best{engine.find_donors(queries, threads), {}};
  for (std::size_t i = 0; i < queries.size(); ++i) {
    best.scores.push_back(queries[i].score(best.donors[i].score));
  }
  return best;
}

/// Servers have threads of their own.
inline BestModels find_best(RemoteStore& store, const std::vector<RemoteQuery>& queries,
                            const QueryOptions& options, unsigned) {
  BestModels best;
  best.donors = store.find_donors(queries, options, best.scores);
  return best;
}

inline std::shared_ptr<PinnedModel> find_donor(Engine& engine, const RemoteQuery& query,
                                               const QueryOptions& options) {
  return engine.find_donor(Query(query.keys, query.weights, options));
}
inline std::shared_ptr<RemoteModel> find_donor(RemoteStore& store, const RemoteQuery& query,
                                               const QueryOptions& options) {
  return store.find_donor(query, options);
}

/// One row per query: whether there is a match, its id, the prefix's score, and its quality.
template <typename Store>
py::tuple find_donors(Store& store, const Array<std::uint64_t>& keys,
                      const Array<std::int64_t>& starts, const Array<double>& weights,
                      const std::string& by, double quality_rate, std::optional<double> min_quality,
                      const IdArgument& exclude, const std::optional<IdArgument>& fingerprints,
                      unsigned threads) {
  const std::size_t count = starts.size() > 0 ? static_cast<std::size_t>(starts.size()) - 1 : 0;
  check_starts(view(starts), count, static_cast<std::size_t>(keys.size()));
  const QueryOptions options = query_options(by, quality_rate, min_quality, exclude, fingerprints);
  if (options.by == ScoreBy::kWeights && weights.size() != keys.size()) {
    throw StoreException(ErrorCode::kInvalidValue, "each layer has a weight, or none has");
  }
  const auto rows = static_cast<py::ssize_t>(count);
  py::array_t<bool> found(rows);
  py::array_t<std::uint64_t> ids(rows);
  py::array_t<double> scores(rows);
  py::array_t<double> qualities(rows);
  auto* founds = found.mutable_data();
  auto* id = ids.mutable_data();
  auto* score = scores.mutable_data();
  auto* quality = qualities.mutable_data();
  {
    const py::gil_scoped_release release;
    std::vector<RemoteQuery> queries;
    queries.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      const auto begin = static_cast<std::size_t>(starts.data()[i]);
      const auto size = static_cast<std::size_t>(starts.data()[i + 1]) - begin;
      const auto own = options.by == ScoreBy::kWeights ? view(weights).subspan(begin, size)
                                                       : std::span<const double>();
      queries.push_back({view(keys).subspan(begin, size), own});
    }
    const BestModels best = find_best(store, queries, options, threads);
    for (std::size_t i = 0; i < count; ++i) {
      founds[i] = best.donors[i].found;
      id[i] = best.donors[i].model_id;
      score[i] = best.scores[i];
      quality[i] = best.donors[i].quality;
    }
  }
  return py::make_tuple(found, ids, scores, qualities);
}

inline py::dict describe(const Model& model) {
  py::list layers;
  for (const LayerRecord& layer : model.layers) {
    layers.append(py::make_tuple(layer.name, layer.key, layer.owner));
  }
  return py::dict(
      py::arg("model_id") = model.id, py::arg("quality") = model.quality,
      py::arg("parent") = model.parent, py::arg("donor") = model.donor,
      py::arg("fingerprint") = model.fingerprint, py::arg("created_ns") = model.created_ns,
      py::arg("layers") = layers, py::arg("bytes_owned") = model.bytes_owned,
      py::arg("bytes_total") = model.bytes_total, py::arg("attributes") = model.attributes);
}

/// A list of batches; see arrow_capsules.hpp.
inline py::list export_models(Engine& engine) {
  const auto batch = [&] {
    const py::gil_scoped_release release;
    return engine.models();
  }();
  py::list batches;
  batches.append(export_batch(*batch));
  return batches;
}
inline py::list export_models(RemoteStore& store) {
  const auto table = [&] {
    const py::gil_scoped_release release;
    return store.models();
  }();
  return export_table(*table);
}

/// Adds what both kinds of store can do.
template <typename Store>
void bind_store_methods(py::class_<Store, std::shared_ptr<Store>>& bound) {
  using Release = py::call_guard<py::gil_scoped_release>;
  bound
      .def("put", &put<Store>, py::arg("model_id"), py::arg("quality"), py::arg("parent"),
           py::arg("donor"), py::arg("fingerprint"), py::arg("layer_keys"), py::arg("layer_names"),
           py::arg("edges"), py::arg("architecture"), py::arg("attributes"), py::arg("tensors"),
           py::arg("weighted") = std::nullopt)
      .def("retire", &Store::retire, py::arg("model_id"), Release())
      .def("put_architectures", &put_architectures<Store>, py::arg("model_ids"),
           py::arg("qualities"), py::arg("parents"), py::arg("has_parent"), py::arg("layer_starts"),
           py::arg("prefix_hashes"), py::arg("class_ids"), py::arg("class_names"),
           py::arg("edge_starts"), py::arg("edges"), py::arg("fingerprints"))
      .def(
          "find_donor",
          [](Store& store, const Array<std::uint64_t>& keys, const Array<double>& weights,
             const std::string& by, double quality_rate, std::optional<double> min_quality,
             IdArgument exclude, std::optional<IdArgument> fingerprints) {
            const QueryOptions options = query_options(by, quality_rate, min_quality,
                                                       std::move(exclude), std::move(fingerprints));
            const RemoteQuery query{view(keys), view(weights)};
            const py::gil_scoped_release release;
            return find_donor(store, query, options);
          },
          py::arg("layer_keys"), py::arg("weights"), py::arg("by"), py::arg("quality_rate"),
          py::arg("min_quality"), py::arg("exclude"), py::arg("fingerprints"))
      .def("find_donors", &find_donors<Store>, py::arg("layer_keys"), py::arg("starts"),
           py::arg("weights"), py::arg("by"), py::arg("quality_rate"), py::arg("min_quality"),
           py::arg("exclude"), py::arg("fingerprints"), py::arg("threads"))
      .def("compact", &Store::compact, Release())
      .def("fold", &Store::fold, Release())
      .def("num_models", &Store::num_models, Release())
      .def("pin", &Store::pin, py::arg("model_id"), Release())
      .def(
          "model",
          [](Store& store, std::uint64_t id) {
            const auto model = [&] {
              const py::gil_scoped_release release;
              return store.model(id);
            }();
            return describe(model);
          },
          py::arg("model_id"))
      .def("architecture", &Store::architecture, py::arg("model_id"), Release())
      .def("ancestors", &Store::ancestors, py::arg("model_id"), Release())
      .def("descendants", &Store::descendants, py::arg("model_id"), Release())
      .def("reference_count", &Store::reference_count, py::arg("owner"), py::arg("layer_key"),
           Release())
      .def("contains", &Store::contains, py::arg("model_id"), Release())
      .def("models", [](Store& store) { return export_models(store); })
      .def("stats", &Store::stats, Release())
      .def("verify", &Store::verify, Release())
      .def("close", &Store::close, Release());
}

}  // namespace parsl_tl
