// The Python module parsl_tl._thallium: the transport over Thallium. Only in builds that found
// Thallium. Its types are those of parsl_tl._native, which is loaded first.
#include <pybind11/pybind11.h>

#include "exceptions.hpp"
#include "thallium_transport.hpp"

namespace py = pybind11;

namespace parsl_tl {
namespace {

using Release = py::call_guard<py::gil_scoped_release>;

void bind_transport(py::module_& module) {
  module.def(
      "connect",
      [](const std::string& address, const std::string& ca_certificate, std::uint16_t provider_id) {
        ConnectOptions options;
        options.address = address;
        options.provider_id = provider_id;
        options.ca_certificate = ca_certificate;
        return connect_thallium(options);
      },
      py::arg("address"), py::arg("ca_certificate") = "", py::arg("provider_id") = 0, Release());
  module.def(
      "listen",
      [](const std::string& address, const std::shared_ptr<Handler>& handler, unsigned threads,
         const std::string& certificate, const std::string& key, std::uint16_t provider_id,
         bool shared) {
        ListenOptions options;
        options.shared = shared;  // no matter here: nothing is a file
        options.address = address;
        options.threads = threads;
        options.provider_id = provider_id;
        options.certificate = certificate;
        options.key = key;
        return listen_thallium(options, handler);
      },
      py::arg("address"), py::arg("handler").none(false), py::arg("threads") = 4,
      py::arg("certificate") = "", py::arg("key") = "", py::arg("provider_id") = 0,
      py::arg("shared") = false, Release());
}

}  // namespace
}  // namespace parsl_tl

PYBIND11_MODULE(_thallium, module) {
  module.doc() = "Thallium (Mochi) as a transport of the model store.";
  parsl_tl::register_exceptions(module);
  parsl_tl::bind_transport(module);
}
