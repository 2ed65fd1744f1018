// Transports as Python hands them around: it connects them, and never looks inside.
#include <dlfcn.h>

#include <cstring>

#include "bindings.hpp"
#include "errors.hpp"
#include "kept_signals.hpp"
#include "trace_context.hpp"
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

/// Sets whose work this thread's calls are, as 16 bytes of a trace and 8 of a span; no bytes are
/// nobody's. Gives what it was.
py::bytes exchange_trace_bytes(const std::string& bytes) {
  TraceContext context;
  constexpr std::size_t kSize = sizeof context.trace + sizeof context.span;
  if (!bytes.empty() && bytes.size() != kSize) {
    throw StoreException(
        ErrorCode::kInvalidValue,
        "a trace context of " + std::to_string(bytes.size()) + " bytes; it has 24, or none");
  }
  if (!bytes.empty()) {
    std::memcpy(context.trace.data(), bytes.data(), sizeof context.trace);
    std::memcpy(context.span.data(), bytes.data() + sizeof context.trace, sizeof context.span);
  }
  const TraceContext before = exchange_trace(context);
  if (!before.is_set()) return py::bytes();
  std::string packed(before.trace.begin(), before.trace.end());
  packed.append(before.span.begin(), before.span.end());
  return py::bytes(packed);
}

}  // namespace

void bind_transport(py::module_& module) {
  using Release = py::call_guard<py::gil_scoped_release>;

  module.def("exchange_trace", &exchange_trace_bytes, py::arg("context"));
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
