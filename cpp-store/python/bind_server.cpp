// A server, as Python starts it.
#include <pybind11/stl.h>

#include "bindings.hpp"
#include "following.hpp"
#include "server.hpp"
#include "span_log.hpp"
#include "token.hpp"

namespace py = pybind11;

namespace parsl_tl {

void bind_server(py::module_& module) {
  using Release = py::call_guard<py::gil_scoped_release>;
  py::class_<SpanLog, std::shared_ptr<SpanLog>>(module, "SpanLog")
      .def(py::init<const std::string&, std::string>(), py::arg("path"), py::arg("resource"))
      .def("take_failure", &SpanLog::take_failure);
  py::class_<Server, Handler, std::shared_ptr<Server>>(module, "Server")
      .def(py::init([](std::shared_ptr<Engine> engine, const std::optional<py::bytes>& token,
                       std::string version, std::string durability, bool read_only, bool checksums,
                       std::uint64_t memory_limit, bool keeps_in_memory,
                       std::shared_ptr<SpanLog> spans, std::shared_ptr<Following> following) {
             ServerOptions options;
             if (token) options.token = token_of(*token);
             options.version = std::move(version);
             options.durability = std::move(durability);
             options.read_only = read_only;
             options.checksums = checksums;
             options.memory_limit = memory_limit;
             options.keeps_in_memory = keeps_in_memory;
             options.spans = std::move(spans);
             options.following = std::move(following);
             return std::make_shared<Server>(std::move(engine), std::move(options));
           }),
           py::arg("engine"), py::arg("token"), py::arg("version"), py::arg("durability"),
           py::arg("read_only") = false, py::arg("checksums") = true, py::arg("memory_limit") = 0,
           py::arg("keeps_in_memory") = false, py::arg("spans") = nullptr,
           py::arg("following") = nullptr)
      .def("request_stop", &Server::request_stop)
      .def(
          "wait_for_stop",
          [](Server& server, double seconds) {
            return server.wait_for_stop(
                std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000)));
          },
          py::arg("seconds"), Release());
}

}  // namespace parsl_tl
