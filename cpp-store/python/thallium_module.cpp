// The Python module parsl_tl._thallium: the transport over Thallium, and Thallium alone to compare
// it with. Only in builds that found Thallium.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "bare_thallium.hpp"
#include "bind_walk.hpp"
#include "exceptions.hpp"
#include "thallium_transport.hpp"

namespace py = pybind11;

namespace parsl_tl {
namespace {

using Release = py::call_guard<py::gil_scoped_release>;
using Bytes = py::array_t<std::uint8_t, py::array::c_style>;

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
      py::arg("address"), py::arg("handler"), py::arg("threads") = 4, py::arg("certificate") = "",
      py::arg("key") = "", py::arg("provider_id") = 0, py::arg("shared") = false, Release());
}

void bind_bare(py::module_& module) {
  py::class_<BareThalliumServer>(module, "BareServer", "Thallium alone; see bare_thallium.hpp.")
      .def(py::init<const std::string&>(), py::arg("address"), Release())
      .def_property_readonly("address", &BareThalliumServer::address)
      .def("stop", &BareThalliumServer::stop, Release());
  py::class_<BareThalliumClient> client(module, "BareClient",
                                        "rpc, put and get return their seconds.");
  client.def(py::init<const std::string&>(), py::arg("address"), Release())
      .def("rpc", &BareThalliumClient::rpc, Release())
      .def(
          "put",
          [](BareThalliumClient& client, const Bytes& bytes) {
            const std::span<const std::uint8_t> view(bytes.data(),
                                                     static_cast<std::size_t>(bytes.size()));
            const py::gil_scoped_release release;
            return client.put(view);
          },
          py::arg("bytes"))
      .def("get", &BareThalliumClient::get, py::arg("num_bytes"), Release());
  bind_walk_calls(client);
}

}  // namespace
}  // namespace parsl_tl

PYBIND11_MODULE(_thallium, module) {
  module.doc() = "Thallium (Mochi) as a transport of the model store.";
  // Its types are registered there.
  py::module_::import("parsl_tl._native");
  parsl_tl::register_exceptions(module);
  parsl_tl::bind_transport(module);
  parsl_tl::bind_bare(module);
}
