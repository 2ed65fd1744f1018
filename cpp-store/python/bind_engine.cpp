// The engine as Python sees it. Every call that may block or copy releases the GIL.
#include <arrow/c/bridge.h>
#include <arrow/record_batch.h>
#include <arrow/result.h>
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <span>

#include "bindings.hpp"
#include "engine.hpp"
#include "errors.hpp"

namespace py = pybind11;

namespace parsl_tl {
namespace {

using Bytes = py::array_t<std::uint8_t, py::array::c_style>;
// layer index, dtype name, shape, the tensor's memory as bytes
using TensorArgument = std::tuple<std::uint32_t, std::string, std::vector<std::int64_t>, Bytes>;

template <typename T>
std::vector<T> to_vector(const py::array_t<T, py::array::c_style | py::array::forcecast>& array) {
  return {array.data(), array.data() + array.size()};
}

PutResult put(Engine& engine, std::uint64_t model_id, double quality,
              std::optional<std::uint64_t> parent, std::optional<std::uint64_t> donor,
              const py::array_t<std::uint64_t, py::array::c_style | py::array::forcecast>& keys,
              std::vector<std::string> names,
              const py::array_t<std::uint32_t, py::array::c_style | py::array::forcecast>& edges,
              std::string architecture, std::string attributes,
              const std::vector<TensorArgument>& tensors) {
  PutRequest request{model_id, quality, parent, donor, to_vector(keys), std::move(names),
                     to_vector(edges), std::move(architecture), std::move(attributes), {}};
  for (const auto& [layer, dtype, shape, bytes] : tensors) {
    request.tensors.push_back(
        {layer, dtype, shape,
         std::span(bytes.data(), static_cast<std::size_t>(bytes.size()))});
  }
  const py::gil_scoped_release release;
  return engine.put(request);
}

/// Read-only arrays over the mapped segment; each keeps the pinned model, and so the mapping, alive.
py::list tensors_of(const std::shared_ptr<PinnedModel>& pinned, std::size_t index) {
  if (index >= pinned->layers.size()) throw py::index_error("no such layer");
  const PinnedModel::Layer& layer = pinned->layers[index];
  std::vector<std::span<const std::uint8_t>> views;
  {
    const py::gil_scoped_release release;  // checksums are computed on first access
    for (const TensorRecord& tensor : layer.tensors) {
      views.push_back(layer.segment->tensor(tensor, layer.name));
    }
  }
  py::list arrays;
  for (const auto& view : views) {
    const py::capsule owner(new std::shared_ptr<PinnedModel>(pinned), [](void* pointer) {
      delete static_cast<std::shared_ptr<PinnedModel>*>(pointer);
    });
    py::array_t<std::uint8_t> array({static_cast<py::ssize_t>(view.size())}, view.data(), owner);
    array.attr("setflags")(py::arg("write") = false);
    arrays.append(std::move(array));
  }
  return arrays;
}

py::list layers_of(const PinnedModel& pinned) {
  py::list layers;
  for (const PinnedModel::Layer& layer : pinned.layers) {
    py::list tensors;
    for (const TensorRecord& tensor : layer.tensors) {
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
  for (const LayerShare& share : model.layers) {
    layers.append(py::make_tuple(share.name, share.key, share.owner));
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

  py::class_<VerifyReport>(module, "VerifyReport")
      .def_readonly("models", &VerifyReport::models)
      .def_readonly("tensors", &VerifyReport::tensors)
      .def_readonly("bytes", &VerifyReport::bytes)
      .def_readonly("problems", &VerifyReport::problems);

  py::class_<PinnedModel, std::shared_ptr<PinnedModel>>(module, "PinnedModel")
      .def_readonly("model_id", &PinnedModel::id)
      .def_readonly("quality", &PinnedModel::quality)
      .def("layers", &layers_of)
      .def("tensors", &tensors_of, py::arg("layer"));

  py::class_<Engine>(module, "Engine")
      .def(py::init([](const std::string& folder, bool read_only, bool sync) {
             const py::gil_scoped_release release;
             return std::make_unique<Engine>(folder, EngineOptions{read_only, sync});
           }),
           py::arg("folder"), py::arg("read_only") = false, py::arg("sync") = false)
      .def("put", &put, py::arg("model_id"), py::arg("quality"), py::arg("parent"),
           py::arg("donor"), py::arg("layer_keys"), py::arg("layer_names"), py::arg("edges"),
           py::arg("architecture"), py::arg("attributes"), py::arg("tensors"))
      .def("retire", &Engine::retire, py::arg("model_id"), Release())
      .def(
          "best_ancestor",
          [](Engine& engine,
             const py::array_t<std::uint64_t, py::array::c_style | py::array::forcecast>& keys,
             bool by_bytes, std::optional<double> min_quality,
             std::unordered_set<std::uint64_t> exclude) {
            const QueryOptions options{by_bytes ? ScoreBy::kBytes : ScoreBy::kLayers, min_quality,
                                       std::move(exclude)};
            const auto copied = to_vector(keys);
            const py::gil_scoped_release release;
            return engine.best_ancestor(copied, options);
          },
          py::arg("layer_keys"), py::arg("by_bytes"), py::arg("min_quality"), py::arg("exclude"))
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
