// A store on servers, as Python sees it: the same calls as the engine's.
#include "bindings.hpp"
#include "connection_options.hpp"
#include "model_reading.hpp"
#include "requests/list_followed.hpp"
#include "requests/ping.hpp"
#include "requests/status.hpp"
#include "requests/stop.hpp"
#include "store_methods.hpp"

namespace parsl_tl {
namespace {

/// A server's state as a dict, with one dict for each kind of request.
py::dict describe_status(const StatusReply& reply) {
  py::list requests;
  for (std::size_t i = 0; i < reply.names.size(); ++i) {
    requests.append(
        py::dict(py::arg("request") = reply.names[i], py::arg("count") = reply.counts.at(i),
                 py::arg("errors") = reply.errors.at(i), py::arg("mean_us") = reply.mean_us.at(i),
                 py::arg("p50_us") = reply.p50_us.at(i), py::arg("p99_us") = reply.p99_us.at(i),
                 py::arg("max_us") = reply.max_us.at(i)));
  }
  py::dict status;
  StatusReply::fields(reply, [&]<typename T>(const char* name, const T& value) {
    if constexpr (!std::is_same_v<T, std::vector<std::string>> &&
                  !std::is_same_v<T, std::vector<std::uint64_t>> &&
                  !std::is_same_v<T, std::vector<double>>) {
      status[name] = value;
    }
  });
  status["requests"] = requests;
  return status;
}

/// One dict for each store that a server follows.
py::list describe_followed(const ListFollowedReply& reply) {
  py::list followed;
  for (std::size_t i = 0; i < reply.names.size(); ++i) {
    py::dict store;
    store["name"] = reply.names[i];
    store["store"] = reply.stores.at(i);
    store["folders"] = reply.folders.at(i);
    store["problem"] = reply.problems.at(i);
    store["models"] = reply.models.at(i);
    store["models_behind"] = reply.models_behind.at(i);
    store["bytes_behind"] = reply.bytes_behind.at(i);
    store["seconds_silent"] = reply.seconds_silent.at(i);
    store["bytes_here"] = reply.bytes_here.at(i);
    store["bytes_pulled"] = reply.bytes_pulled.at(i);
    store["segments_pulled"] = reply.segments_pulled.at(i);
    followed.append(store);
  }
  return followed;
}

}  // namespace

void bind_remote(py::module_& module) {
  using Release = py::call_guard<py::gil_scoped_release>;
  bind_model<RemoteModel>(module, "RemoteModel");
  py::class_<RemoteStore, std::shared_ptr<RemoteStore>> store(module, "RemoteStore");
  store
      .def(py::init([](std::vector<std::shared_ptr<Channel>> channels,
                       std::vector<std::string> addresses, const std::optional<py::bytes>& token,
                       double timeout, double retry_seconds, bool read_only, bool maps_segments,
                       std::vector<std::shared_ptr<Channel>> replica_channels,
                       const std::vector<std::string>& replica_addresses) {
             auto options = connection_options(token, timeout, retry_seconds, maps_segments);
             options.read_only = read_only;
             const py::gil_scoped_release release;
             std::vector<Way> replicas;
             for (std::size_t i = 0; i < replica_channels.size(); ++i) {
               replicas.push_back({std::move(replica_channels[i]), replica_addresses.at(i)});
             }
             return std::make_shared<RemoteStore>(std::move(channels), std::move(addresses),
                                                  options, replicas);
           }),
           py::arg("channels"), py::arg("addresses"), py::arg("token"), py::arg("timeout"),
           py::arg("retry_seconds"), py::arg("read_only"), py::arg("maps_segments"),
           py::arg("replica_channels"), py::arg("replica_addresses"))
      .def("store_ids", &RemoteStore::store_ids, Release())
      .def("release_orphans", &RemoteStore::release_orphans, Release())
      .def("is_mapped", &RemoteStore::is_mapped, py::arg("server"), Release())
      .def("is_stood_in_for", &RemoteStore::is_stood_in_for, py::arg("server"), Release());
  bind_store_methods(store);

  module.def(
      "adopt",
      [](std::vector<std::shared_ptr<Channel>> channels, std::vector<std::string> addresses,
         const std::optional<py::bytes>& token, double timeout, double retry_seconds,
         bool only_look) {
        const auto options = connection_options(token, timeout, retry_seconds, false);
        const RemoteStore::Adopted adopted = [&] {
          const py::gil_scoped_release release;
          return RemoteStore::adopt(std::move(channels), std::move(addresses), options, only_look);
        }();
        py::list before;
        for (const StoreId& store : adopted.before) {
          before.append(store.is_set() ? py::object(py::str(store.text())) : py::none());
        }
        return py::dict(py::arg("before") = before, py::arg("stores") = texts_of(adopted.stores),
                        py::arg("lost_models") = adopted.lost_models,
                        py::arg("lost_holds") = adopted.lost_holds);
      },
      py::arg("channels"), py::arg("addresses"), py::arg("token"), py::arg("timeout"),
      py::arg("retry_seconds"), py::arg("only_look"));

  // One server, for those who look after it.
  py::class_<ServerConnection>(module, "ServerConnection")
      .def(
          py::init([](std::shared_ptr<Channel> channel, std::string address,
                      const std::optional<py::bytes>& token, double timeout, double retry_seconds) {
            return std::make_unique<ServerConnection>(
                std::vector<Way>{{std::move(channel), std::move(address)}}, ClientId{},
                Membership{0, 0}, connection_options(token, timeout, retry_seconds, false));
          }),
          py::arg("channel"), py::arg("address"), py::arg("token"), py::arg("timeout"),
          py::arg("retry_seconds"))
      .def(
          "ping", [](ServerConnection& connection) { connection.ask(PingRequest{}); }, Release())
      .def(
          "stop", [](ServerConnection& connection) { connection.ask(StopRequest{}); }, Release())
      .def("followed",
           [](ServerConnection& connection) {
             const ListFollowedReply reply = [&] {
               const py::gil_scoped_release release;
               return connection.ask(ListFollowedRequest{});
             }();
             return describe_followed(reply);
           })
      .def("status", [](ServerConnection& connection) {
        const StatusReply reply = [&] {
          const py::gil_scoped_release release;
          return connection.ask(StatusRequest{});
        }();
        return describe_status(reply);
      });
}

}  // namespace parsl_tl
