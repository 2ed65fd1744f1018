// The Python module parsl_tl._bare_thallium: Thallium alone, to compare the store's transport with.
// Only in builds that found Thallium.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "bare_thallium.hpp"
#include "bind_walk.hpp"

PYBIND11_MODULE(_bare_thallium, module) {
  using namespace parsl_tl;
  using Release = py::call_guard<py::gil_scoped_release>;
  using Bytes = py::array_t<std::uint8_t, py::array::c_style>;

  module.doc() = "Thallium (Mochi) without this package's transport, to compare with.";
  py::class_<BareThalliumServer>(module, "BareServer", "See bare_thallium.hpp.")
      .def(py::init<const std::string&>(), py::arg("address"), Release())
      .def_property_readonly("address", &BareThalliumServer::address)
      .def("stop", &BareThalliumServer::stop, Release());
  py::class_<BareThalliumClient> client(module, "BareClient",
                                        "rpc, put and get return the seconds that they took.");
  client.def(py::init<const std::string&>(), py::arg("address"), Release())
      .def("rpc", &BareThalliumClient::rpc, Release())
      .def(
          "put",
          [](BareThalliumClient& client, const Bytes& bytes) {
            const std::span view(bytes.data(), static_cast<std::size_t>(bytes.size()));
            const py::gil_scoped_release release;
            return client.put(view);
          },
          py::arg("bytes"))
      .def("get", &BareThalliumClient::get, py::arg("num_bytes"), Release());
  bind_walk_calls(client);
}
