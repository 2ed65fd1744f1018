// Following other stores, as Python starts it.
#include <pybind11/stl.h>

#include "bindings.hpp"
#include "connection_options.hpp"
#include "following.hpp"

namespace py = pybind11;

namespace parsl_tl {
namespace {

using Channels = std::vector<std::shared_ptr<Channel>>;
using Addresses = std::vector<std::string>;

Route route_of(Channels channels, Addresses addresses, const std::optional<py::bytes>& token) {
  Route route{std::move(channels), std::move(addresses), std::nullopt};
  if (token) route.token = token_of(*token);
  return route;
}

/// Copies a store into a folder, with all of its weights, as of one position of its logs. Gives the
/// folders of its servers' copies.
std::vector<std::string> copy_store(Route route, const ConnectionOptions& connection,
                                    std::string folder) {
  PulledSegments pulled(std::nullopt, 1);
  FollowOptions options{std::move(folder), {}, true, connection};
  FollowedStore store("a snapshot", std::move(route), options, pulled);
  store.follow_to_end();
  return store.folders();
}

}  // namespace

void bind_following(py::module_& module) {
  using Release = py::call_guard<py::gil_scoped_release>;
  py::class_<Following, std::shared_ptr<Following>>(module, "Following")
      .def(
          py::init([](std::string folder, const std::shared_ptr<Engine>& home,
                      std::optional<std::uint64_t> budget, bool replicates, unsigned most_pulling) {
            return std::make_shared<Following>(FollowingOptions{std::move(folder), home->store(),
                                                                budget, replicates, most_pulling});
          }),
          py::arg("folder"), py::arg("home"), py::arg("budget"), py::arg("replicates"),
          py::arg("most_pulling"))
      .def(
          "follow",
          [](Following& self, std::string name, Channels channels, Addresses addresses,
             const std::optional<py::bytes>& token, double timeout) {
            const auto options = connection_options(std::nullopt, timeout, 0.0, false);
            Route route = route_of(std::move(channels), std::move(addresses), token);
            const py::gil_scoped_release release;
            self.follow(std::move(name), std::move(route), options);
          },
          py::arg("name"), py::arg("channels"), py::arg("addresses"), py::arg("token"),
          py::arg("timeout"))
      .def(
          "reroute",
          [](Following& self, const std::string& name, Channels channels, Addresses addresses,
             const std::optional<py::bytes>& token) {
            Route route = route_of(std::move(channels), std::move(addresses), token);
            const py::gil_scoped_release release;
            self.reroute(name, std::move(route));
          },
          py::arg("name"), py::arg("channels"), py::arg("addresses"), py::arg("token"))
      .def("stop", &Following::stop, Release());

  module.def(
      "copy_store",
      [](Channels channels, Addresses addresses, const std::optional<py::bytes>& token,
         double timeout, std::string folder) {
        const auto options = connection_options(std::nullopt, timeout, timeout, false);
        Route route = route_of(std::move(channels), std::move(addresses), token);
        const py::gil_scoped_release release;
        return copy_store(std::move(route), options, std::move(folder));
      },
      py::arg("channels"), py::arg("addresses"), py::arg("token"), py::arg("timeout"),
      py::arg("folder"));
}

}  // namespace parsl_tl
