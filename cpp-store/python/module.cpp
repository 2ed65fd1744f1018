// The Python module parsl_tl._native.
#include <pybind11/pybind11.h>

#include "bindings.hpp"
#include "exceptions.hpp"
#include "frame.hpp"

PYBIND11_MODULE(_native, module) {
  module.doc() = "The C++ side of parsl_tl: prefix hashes, the model store's engine.";
  // The Arrow ABI is that of one release of pyarrow; parsl_tl.native compares it at import.
  module.attr("PYARROW_VERSION") = PARSL_TL_PYARROW_VERSION;
  module.attr("PROTOCOL_VERSION") = parsl_tl::kProtocolVersion;

  parsl_tl::register_exceptions(module);
  parsl_tl::bind_hash(module);
  parsl_tl::bind_keras_json(module);
  parsl_tl::bind_prefix_index(module);
  parsl_tl::bind_engine(module);
  parsl_tl::bind_transport(module);
  parsl_tl::bind_remote(module);
  parsl_tl::bind_following(module);
  parsl_tl::bind_server(module);
}
