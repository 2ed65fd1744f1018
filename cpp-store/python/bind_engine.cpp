// The engine as Python sees it. Every call that may block or copy releases the GIL.
#include "bindings.hpp"
#include "model_reading.hpp"
#include "store_methods.hpp"

namespace parsl_tl {
namespace {

std::optional<Codec> codec_of(const std::optional<std::string>& compression) {
  if (!compression) return std::nullopt;
  const auto codec = codec_named(*compression);
  if (!codec) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "compression is '" + *compression + "'; choose 'none', 'lz4' or 'zstd'");
  }
  return codec;
}

void bind_results(py::module_& module) {
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
}

}  // namespace

void bind_engine(py::module_& module) {
  bind_results(module);
  bind_model<PinnedModel>(module, "PinnedModel");
  // Shared: a server keeps it too.
  py::class_<Engine, std::shared_ptr<Engine>> engine(module, "Engine");
  engine
      .def(py::init([](const std::string& folder, bool read_only, bool sync, bool checksums,
                       const std::optional<std::string>& compression, bool shared, bool damaged) {
             const py::gil_scoped_release release;
             return std::make_shared<Engine>(
                 folder,
                 EngineOptions{read_only, sync, checksums, codec_of(compression), shared, damaged});
           }),
           py::arg("folder"), py::arg("read_only") = false, py::arg("sync") = false,
           py::arg("checksums") = true, py::arg("compression") = std::nullopt,
           py::arg("shared") = false, py::arg("damaged") = false)
      .def_property_readonly("compression",
                             [](const Engine& self) { return name_of(self.codec()); })
      .def("take_warnings", &Engine::take_warnings)
      .def_property_readonly("follows", &Engine::follows)
      .def("models_lacking_segments", &Engine::models_lacking_segments,
           py::call_guard<py::gil_scoped_release>())
      .def("stop_following", &Engine::stop_following, py::call_guard<py::gil_scoped_release>())
      .def_property_readonly("folder", &Engine::folder)
      .def_property_readonly("store", [](const Engine& self) { return self.store().text(); });
  bind_store_methods(engine);
}

}  // namespace parsl_tl
