// Transports as Python hands them around: it connects them, and never looks inside.
#include <dlfcn.h>

#include "bindings.hpp"
#include "errors.hpp"
#include "kept_signals.hpp"
#include "transport.hpp"

namespace py = pybind11;

namespace parsl_tl {
namespace {

/// Loads a library, so that a later import finds it there.
void load_keeping_signals(const std::string& path) {
  const KeptSignals signals;
  if (::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr) return;
  const char* const why = ::dlerror();
  throw StoreException(ErrorCode::kIo, why != nullptr ? why : path + " cannot be loaded");
}

}  // namespace

void bind_transport(py::module_& module) {
  using Release = py::call_guard<py::gil_scoped_release>;

  module.def("load_keeping_signals", &load_keeping_signals, py::arg("path"));
  // The modules of the transports make these.
  py::class_<Channel, std::shared_ptr<Channel>>(module, "Channel");
  py::class_<Listener, std::shared_ptr<Listener>>(module, "Listener")
      .def_property_readonly("address", &Listener::address)
      .def(
          "stop",
          [](Listener& listener, double seconds) {
            listener.stop(std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000)));
          },
          py::arg("seconds"), Release());
  py::class_<Handler, std::shared_ptr<Handler>>(module, "Handler");
}

}  // namespace parsl_tl
