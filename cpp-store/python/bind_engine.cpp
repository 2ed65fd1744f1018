// The engine as Python sees it. Every call that may block or copy releases the GIL.
#include <arrow/c/bridge.h>
#include <arrow/record_batch.h>
#include <arrow/result.h>
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <map>
#include <span>

#include "bindings.hpp"
#include "engine.hpp"
#include "errors.hpp"
#include "layer_name.hpp"
#include "reading.hpp"

namespace py = pybind11;

namespace parsl_tl {
namespace {

using Bytes = py::array_t<std::uint8_t, py::array::c_style>;
template <typename T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;
// layer index, dtype name, shape, the tensor's memory as bytes
using TensorTuple = std::tuple<std::uint32_t, std::string, std::vector<std::int64_t>, Bytes>;

template <typename T>
std::vector<T> to_vector(const Array<T>& array) {
  return {array.data(), array.data() + array.size()};
}

template <typename T>
std::span<const T> view(const Array<T>& array) {
  return {array.data(), static_cast<std::size_t>(array.size())};
}

PutResult put(Engine& engine, std::uint64_t model_id, double quality,
              std::optional<std::uint64_t> parent, std::optional<std::uint64_t> donor,
              const Array<std::uint64_t>& keys, std::vector<std::string> names,
              const Array<std::uint32_t>& edges, std::string architecture, std::string attributes,
              const std::vector<TensorTuple>& tensors) {
  PutRequest request{model_id, quality, parent, donor, to_vector(keys), std::move(names),
                     to_vector(edges), std::move(architecture), std::move(attributes), {}};
  for (const auto& [layer, dtype, shape, bytes] : tensors) {
    request.tensors.push_back(
        {layer, dtype, shape, std::span(bytes.data(), static_cast<std::size_t>(bytes.size()))});
  }
  const py::gil_scoped_release release;
  return engine.put(request);
}

/// Checks that starts are those of CSR arrays: ascending from 0 to the number of values.
void check_starts(const Array<std::int64_t>& starts, std::size_t models, py::ssize_t values) {
  const auto given = view(starts);
  if (given.size() != models + 1 || given.front() != 0 || given.back() != values ||
      !std::is_sorted(given.begin(), given.end())) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "starts must ascend from 0 to the number of values, one more than models");
  }
}

/// Flat (CSR) arrays over all models; parents are looked up only where has_parent is true.
void put_architectures(Engine& engine, const Array<std::uint64_t>& model_ids,
                       const Array<double>& qualities, const Array<std::uint64_t>& parents,
                       const Array<bool>& has_parent, const Array<std::int64_t>& layer_starts,
                       const Array<std::uint64_t>& prefix_hashes,
                       const Array<std::uint16_t>& class_ids,
                       const std::vector<std::string>& class_names,
                       const Array<std::int64_t>& edge_starts, const Array<std::uint32_t>& edges) {
  const auto models = static_cast<std::size_t>(model_ids.size());
  if (qualities.size() != model_ids.size() || parents.size() != model_ids.size() ||
      has_parent.size() != model_ids.size() || class_ids.size() != prefix_hashes.size()) {
    throw StoreException(ErrorCode::kInvalidValue, "one value for each model, and each layer");
  }
  check_starts(layer_starts, models, prefix_hashes.size());
  check_starts(edge_starts, models, edges.size() / 2);
  for (const std::uint16_t id : view(class_ids)) {
    if (id >= class_names.size()) throw StoreException(ErrorCode::kInvalidValue, "unknown class");
  }
  const py::gil_scoped_release release;
  std::vector<PutRequest> requests(models);
  for (std::size_t i = 0; i < models; ++i) {
    PutRequest& request = requests[i];
    request.model_id = model_ids.data()[i];
    request.quality = qualities.data()[i];
    if (has_parent.data()[i]) request.parent = parents.data()[i];
    request.attributes = "{}";
    std::unordered_map<std::uint64_t, std::uint64_t> twins;
    for (auto layer = layer_starts.data()[i]; layer < layer_starts.data()[i + 1]; ++layer) {
      const std::uint64_t hash = prefix_hashes.data()[layer];
      const std::uint64_t twin = twins[hash]++;
      request.layer_keys.push_back(layer_key(hash, twin));
      request.layer_names.push_back(
          format_layer_name(class_names[class_ids.data()[layer]], hash, twin));
    }
    request.edges.assign(edges.data() + 2 * edge_starts.data()[i],
                         edges.data() + 2 * edge_starts.data()[i + 1]);
  }
  engine.put_many(requests);
}

QueryOptions query_options(const std::string& by, double quality_rate,
                           std::optional<double> min_quality,
                           std::unordered_set<std::uint64_t> exclude) {
  static const std::map<std::string, ScoreBy> kNames{
      {"layers", ScoreBy::kLayers}, {"bytes", ScoreBy::kBytes}, {"weights", ScoreBy::kWeights}};
  return {kNames.at(by), quality_rate, min_quality, std::move(exclude)};
}

/// One row per query: whether there is a match, its id, the prefix's score, and its quality.
py::tuple best_ancestors(Engine& engine, const Array<std::uint64_t>& keys,
                         const Array<std::int64_t>& starts, const Array<double>& weights,
                         const std::string& by, double quality_rate,
                         std::optional<double> min_quality,
                         const std::unordered_set<std::uint64_t>& exclude, unsigned threads) {
  const std::size_t count = starts.size() > 0 ? static_cast<std::size_t>(starts.size()) - 1 : 0;
  check_starts(starts, count, keys.size());
  const QueryOptions options = query_options(by, quality_rate, min_quality, exclude);
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
    std::vector<Query> queries;
    queries.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      const auto begin = static_cast<std::size_t>(starts.data()[i]);
      const auto size = static_cast<std::size_t>(starts.data()[i + 1]) - begin;
      const auto own = options.by == ScoreBy::kWeights ? view(weights).subspan(begin, size)
                                                       : std::span<const double>();
      queries.emplace_back(view(keys).subspan(begin, size), own, options);
    }
    const std::vector<Winner> winners = engine.best_ancestors(queries, threads);
    for (std::size_t i = 0; i < count; ++i) {
      founds[i] = winners[i].found;
      id[i] = winners[i].model_id;
      score[i] = queries[i].score(winners[i].score);
      quality[i] = winners[i].quality;
    }
  }
  return py::make_tuple(found, ids, scores, qualities);
}

/// numpy's dtype of a stored name; looked up in Python once.
const py::dtype& dtype_of(const std::string& name) {
  static auto* const known = new std::unordered_map<std::string, py::dtype>();
  const auto found = known->find(name);
  if (found != known->end()) return found->second;
  const py::object made = py::module_::import("parsl_tl.store.tensors").attr("dtype_of")(name);
  return known->emplace(name, py::reinterpret_borrow<py::dtype>(made)).first->second;
}

/// A read-only array over the mapped segment; `owner` keeps the mapping alive.
py::array array_over(const TensorInfo& tensor, std::span<const std::uint8_t> bytes,
                     const std::string& layer, const py::capsule& owner) {
  const py::dtype& dtype = dtype_of(tensor.dtype);
  std::uint64_t expected = static_cast<std::uint64_t>(dtype.itemsize());
  for (const std::int64_t dimension : tensor.shape) {
    if (__builtin_mul_overflow(expected, static_cast<std::uint64_t>(dimension), &expected)) break;
  }
  if (expected != bytes.size()) {
    throw StoreException(ErrorCode::kCorrupt,
                         "layer " + layer + ": its shape and dtype do not fit its bytes");
  }
  py::array array(dtype, tensor.shape, bytes.data(), owner);
  py::detail::array_proxy(array.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  return array;
}

/// Places of the named layers, in the order of the names; of all that have tensors without names.
std::vector<std::size_t> places_of(const PinnedModel& pinned,
                                   const std::optional<std::vector<std::string>>& names) {
  std::vector<std::size_t> places;
  if (!names) {
    for (std::size_t i = 0; i < pinned.layers.size(); ++i) {
      if (pinned.layers[i].segment != nullptr) places.push_back(i);
    }
    return places;
  }
  std::unordered_map<std::string_view, std::size_t> known;
  for (std::size_t i = 0; i < pinned.layers.size(); ++i) known[pinned.layers[i].name] = i;
  for (const std::string& name : *names) {
    const auto found = known.find(name);
    if (found == known.end()) {
      throw StoreException(ErrorCode::kInvalidValue,
                           "model " + hex_id(pinned.id) + " has no layer '" + name +
                               "'; store.composition(model_id) lists its layers");
    }
    places.push_back(found->second);
  }
  return places;
}

/// {layer name: [read-only views]}.
py::dict views(const std::shared_ptr<PinnedModel>& pinned,
               const std::optional<std::vector<std::string>>& names) {
  std::vector<std::size_t> places;
  std::vector<LayerBytes> bytes;
  {
    const py::gil_scoped_release release;  // checksums are computed on first access
    places = places_of(*pinned, names);
    bytes = view_layers(*pinned, places);
  }
  const py::capsule owner(new std::shared_ptr<PinnedModel>(pinned), [](void* pointer) {
    delete static_cast<std::shared_ptr<PinnedModel>*>(pointer);
  });
  py::dict result;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const PinnedModel::Layer& layer = pinned->layers[places[i]];
    py::list arrays(bytes[i].size());
    for (std::size_t tensor = 0; tensor < bytes[i].size(); ++tensor) {
      const TensorInfo& info = layer.segment->directory()[layer.tensors.first + tensor];
      arrays[tensor] = array_over(info, bytes[i][tensor], layer.name, owner);
    }
    result[py::str(layer.name)] = std::move(arrays);
  }
  return result;
}

/// [(layer name, [(dtype, shape)])], without reading any tensor.
py::list types(const PinnedModel& pinned, const std::optional<std::vector<std::string>>& names) {
  py::list result;
  for (const std::size_t place : places_of(pinned, names)) {
    const PinnedModel::Layer& layer = pinned.layers[place];
    py::list tensors(layer.tensors.count);
    for (std::uint32_t i = 0; i < layer.tensors.count; ++i) {
      const TensorInfo& tensor = layer.segment->directory()[layer.tensors.first + i];
      tensors[i] = py::make_tuple(dtype_of(tensor.dtype), py::tuple(py::cast(tensor.shape)));
    }
    result.append(py::make_tuple(layer.name, std::move(tensors)));
  }
  return result;
}

/// Copies layers into memory of exactly their tensors' sizes.
void copy_into(const PinnedModel& pinned, const std::vector<std::string>& names,
               std::vector<std::vector<Bytes>> targets) {
  std::vector<LayerMemory> memory;
  for (std::vector<Bytes>& layer : targets) {
    memory.emplace_back();
    for (Bytes& target : layer) {
      memory.back().emplace_back(target.mutable_data(), static_cast<std::size_t>(target.size()));
    }
  }
  const py::gil_scoped_release release;
  copy_layers(pinned, places_of(pinned, names), memory);
}

py::list layers_of(const PinnedModel& pinned) {
  py::list layers;
  for (const PinnedModel::Layer& layer : pinned.layers) {
    py::list tensors;
    for (std::uint32_t i = 0; i < layer.tensors.count; ++i) {
      const TensorInfo& tensor = layer.segment->directory()[layer.tensors.first + i];
      tensors.append(py::make_tuple(tensor.dtype, py::tuple(py::cast(tensor.shape))));
    }
    layers.append(py::make_tuple(layer.name, layer.key, layer.owner, layer.bytes, tensors));
  }
  return layers;
}

void release_array(PyObject* capsule) {
  auto* array = static_cast<ArrowArray*>(PyCapsule_GetPointer(capsule, "arrow_array"));
  if (array->release != nullptr) array->release(array);
  delete array;
}

void release_schema(PyObject* capsule) {
  auto* schema = static_cast<ArrowSchema*>(PyCapsule_GetPointer(capsule, "arrow_schema"));
  if (schema->release != nullptr) schema->release(schema);
  delete schema;
}

/// The batch as the two capsules of the Arrow PyCapsule interface: (schema, array).
py::tuple export_batch(const arrow::RecordBatch& batch) {
  auto array = std::make_unique<ArrowArray>();
  auto schema = std::make_unique<ArrowSchema>();
  const auto status = arrow::ExportRecordBatch(batch, array.get(), schema.get());
  if (!status.ok()) throw StoreException(ErrorCode::kIo, status.ToString());
  return py::make_tuple(py::capsule(schema.release(), "arrow_schema", &release_schema),
                        py::capsule(array.release(), "arrow_array", &release_array));
}

py::dict describe(const Model& model) {
  py::list layers;
  for (const LayerRecord& layer : model.layers) {
    layers.append(py::make_tuple(layer.name, layer.key, layer.owner));
  }
  return py::dict(py::arg("model_id") = model.id, py::arg("quality") = model.quality,
                  py::arg("parent") = model.parent, py::arg("donor") = model.donor,
                  py::arg("created_ns") = model.created_ns, py::arg("layers") = layers,
                  py::arg("bytes_owned") = model.bytes_owned,
                  py::arg("bytes_total") = model.bytes_total,
                  py::arg("attributes") = model.attributes);
}

}  // namespace

void bind_engine(py::module_& module) {
  using Release = py::call_guard<py::gil_scoped_release>;

  py::class_<PutResult>(module, "PutResult")
      .def_readonly("bytes_stored", &PutResult::bytes_stored)
      .def_readonly("layers_stored", &PutResult::layers_stored)
      .def_readonly("layers_inherited", &PutResult::layers_inherited);

  py::class_<CompactReport>(module, "CompactReport")
      .def_readonly("segments_rewritten", &CompactReport::segments_rewritten)
      .def_readonly("bytes_freed", &CompactReport::bytes_freed);

  py::class_<VerifyReport>(module, "VerifyReport")
      .def_readonly("models", &VerifyReport::models)
      .def_readonly("tensors", &VerifyReport::tensors)
      .def_readonly("bytes", &VerifyReport::bytes)
      .def_readonly("problems", &VerifyReport::problems);

  py::class_<PinnedModel, std::shared_ptr<PinnedModel>>(module, "PinnedModel")
      .def_readonly("model_id", &PinnedModel::id)
      .def_readonly("quality", &PinnedModel::quality)
      .def("layers", &layers_of)
      .def("views", &views, py::arg("names"))
      .def("types", &types, py::arg("names"))
      .def("copy_into", &copy_into, py::arg("names"), py::arg("targets"));

  py::class_<Engine>(module, "Engine")
      .def(py::init([](const std::string& folder, bool read_only, bool sync, bool checksums,
                       const std::optional<std::string>& compression) {
             const py::gil_scoped_release release;
             EngineOptions options{read_only, sync, checksums, std::nullopt};
             if (compression) {
               options.codec = codec_named(*compression);
               if (!options.codec) {
                 throw StoreException(ErrorCode::kInvalidValue,
                                      "compression is '" + *compression +
                                          "'; choose 'none', 'lz4' or 'zstd'");
               }
             }
             return std::make_unique<Engine>(folder, options);
           }),
           py::arg("folder"), py::arg("read_only") = false, py::arg("sync") = false,
           py::arg("checksums") = true, py::arg("compression") = std::nullopt)
      .def("put", &put, py::arg("model_id"), py::arg("quality"), py::arg("parent"),
           py::arg("donor"), py::arg("layer_keys"), py::arg("layer_names"), py::arg("edges"),
           py::arg("architecture"), py::arg("attributes"), py::arg("tensors"))
      .def("retire", &Engine::retire, py::arg("model_id"), Release())
      .def("put_architectures", &put_architectures, py::arg("model_ids"), py::arg("qualities"),
           py::arg("parents"), py::arg("has_parent"), py::arg("layer_starts"),
           py::arg("prefix_hashes"), py::arg("class_ids"), py::arg("class_names"),
           py::arg("edge_starts"), py::arg("edges"))
      .def(
          "best_ancestor",
          [](Engine& engine, const Array<std::uint64_t>& keys, const Array<double>& weights,
             const std::string& by, double quality_rate, std::optional<double> min_quality,
             std::unordered_set<std::uint64_t> exclude) {
            const Query query(view(keys), view(weights),
                              query_options(by, quality_rate, min_quality, std::move(exclude)));
            const py::gil_scoped_release release;
            return engine.best_ancestor(query);
          },
          py::arg("layer_keys"), py::arg("weights"), py::arg("by"), py::arg("quality_rate"),
          py::arg("min_quality"), py::arg("exclude"))
      .def("best_ancestors", &best_ancestors, py::arg("layer_keys"), py::arg("starts"),
           py::arg("weights"), py::arg("by"), py::arg("quality_rate"), py::arg("min_quality"),
           py::arg("exclude"), py::arg("threads"))
      .def("compact", &Engine::compact, Release())
      .def("fold", &Engine::fold, Release())
      .def("num_models", &Engine::num_models, Release())
      .def_property_readonly("compression",
                             [](const Engine& engine) { return name_of(engine.codec()); })
      .def("pin", &Engine::pin, py::arg("model_id"), Release())
      .def("model", [](Engine& engine, std::uint64_t id) {
        const auto model = [&] {
          const py::gil_scoped_release release;
          return engine.model(id);
        }();
        return describe(model);
      }, py::arg("model_id"))
      .def("architecture", [](Engine& engine, std::uint64_t id) {
        const py::gil_scoped_release release;
        return engine.record(id).architecture;
      }, py::arg("model_id"))
      .def("ancestors", &Engine::ancestors, py::arg("model_id"), Release())
      .def("descendants", &Engine::descendants, py::arg("model_id"), Release())
      .def("reference_count", &Engine::reference_count, py::arg("owner"), py::arg("layer_key"),
           Release())
      .def("contains", &Engine::contains, py::arg("model_id"), Release())
      .def("models", [](Engine& engine) {
        const auto batch = [&] {
          const py::gil_scoped_release release;
          return engine.models();
        }();
        return export_batch(*batch);
      })
      .def("stats", &Engine::stats, Release())
      .def("verify", &Engine::verify, Release())
      .def("take_warnings", &Engine::take_warnings)
      .def("close", &Engine::close, Release())
      .def_property_readonly("folder", &Engine::folder);
}

}  // namespace parsl_tl
