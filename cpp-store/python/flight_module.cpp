// The Python module parsl_tl._flight: the transport over Arrow Flight, and Flight alone to compare
// it with.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "bare_flight.hpp"
#include "bind_walk.hpp"
#include "exceptions.hpp"
#include "flight.hpp"

namespace py = pybind11;

namespace {

using Release = py::call_guard<py::gil_scoped_release>;
using Bytes = py::array_t<std::uint8_t, py::array::c_style>;

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

void bind_bare(py::module_& module) {
  using namespace parsl_tl;
  py::class_<BareServer>(module, "BareServer",
                         "Arrow Flight without this package's transport, to compare with.")
      .def(py::init<const std::string&, std::size_t>(), py::arg("address"),
           py::arg("part_bytes") = kPartBytes, Release())
      .def_property_readonly("address", &BareServer::address)
      .def("stop", &BareServer::stop, Release());
  py::class_<BareClient> client(module, "BareClient",
                                "rpc, put and get return the seconds that they took.");
  client
      .def(py::init<const std::string&, std::size_t>(), py::arg("address"),
           py::arg("part_bytes") = kPartBytes, Release())
      .def("rpc", &BareClient::rpc, Release())
      .def(
          "put",
          [](BareClient& client, const Bytes& bytes) {
            const std::span view(bytes.data(), static_cast<std::size_t>(bytes.size()));
            const py::gil_scoped_release release;
            return client.put(view);
          },
          py::arg("bytes"))
      .def("get", &BareClient::get, py::arg("num_bytes"), Release());
  bind_walk_calls(client);
}

}  // namespace

PYBIND11_MODULE(_flight, module) {
  module.doc() = "The transport over Arrow Flight.";
  // Its Channel, Listener and Handler are what is made and taken here.
  py::module_::import("parsl_tl._native");
  parsl_tl::register_exceptions(module);
  bind_transport(module);
  bind_bare(module);
}
