// The Python module parsl_tl._flight: the transport over Arrow Flight. Its types are those of
// parsl_tl._native, which is loaded first.
#include <pybind11/pybind11.h>

#include "exceptions.hpp"
#include "flight.hpp"

namespace py = pybind11;

namespace {

using Release = py::call_guard<py::gil_scoped_release>;

void bind_transport(py::module_& module) {
  using namespace parsl_tl;
  module.def(
      "connect",
      [](const std::string& address, const std::string& ca_certificate, std::uint16_t provider_id) {
        return connect_flight({address, provider_id, ca_certificate});
      },
      py::arg("address"), py::arg("ca_certificate") = "", py::arg("provider_id") = 0, Release());
  module.def(
      "listen",
      [](const std::string& address, std::shared_ptr<Handler> handler, unsigned threads,
         const std::string& certificate, const std::string& key, std::uint16_t provider_id,
         bool shared) {
        return listen_flight({address, threads, provider_id, certificate, key, shared},
                             std::move(handler));
      },
      py::arg("address"), py::arg("handler").none(false), py::arg("threads") = 4,
      py::arg("certificate") = "", py::arg("key") = "", py::arg("provider_id") = 0,
      py::arg("shared") = false, Release());
}

}  // namespace

PYBIND11_MODULE(_flight, module) {
  module.doc() = "The transport over Arrow Flight.";
  parsl_tl::register_exceptions(module);
  bind_transport(module);
}
