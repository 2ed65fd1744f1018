// The Python module parsl_tl._bare_flight: Arrow Flight alone, to compare the store's transport
// with.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "bare_flight.hpp"
#include "bind_walk.hpp"
#include "exceptions.hpp"

PYBIND11_MODULE(_bare_flight, module) {
  using namespace parsl_tl;
  using Release = py::call_guard<py::gil_scoped_release>;
  using Bytes = py::array_t<std::uint8_t, py::array::c_style>;

  module.doc() = "Arrow Flight without this package's transport, to compare with.";
  register_exceptions(module);
  py::class_<BareServer>(module, "BareServer", "See bare_flight.hpp.")
      .def(py::init<const std::string&, std::size_t>(), py::arg("address"),
           py::arg("part_bytes") = kPartBytes, Release())
      .def_property_readonly("address", &BareServer::address)
      .def("stop", &BareServer::stop, Release());
  py::class_<BareClient> client(module, "BareClient",
                                "rpc, put and gets return the seconds that they took.");
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
      .def("get", &BareClient::get, py::arg("num_bytes"), Release())
      .def(
          "get_into",
          [](BareClient& client, Bytes& out) {
            const std::span memory(out.mutable_data(), static_cast<std::size_t>(out.size()));
            const py::gil_scoped_release release;
            return client.get_into(memory);
          },
          py::arg("out"));
  bind_walk_calls(client);
}
