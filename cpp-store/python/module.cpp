// The Python module parsl_tl._native.
#include <pybind11/pybind11.h>

#include "bindings.hpp"
#include "errors.hpp"

namespace py = pybind11;

namespace {

const char* python_class(parsl_tl::ErrorCode code) {
  using parsl_tl::ErrorCode;
  switch (code) {
    case ErrorCode::kInvalidValue: return "InvalidValueError";
    case ErrorCode::kFormat: return "StoreFormatError";
    case ErrorCode::kCorrupt: return "StoreCorruptError";
    case ErrorCode::kFull: return "StoreFullError";
    case ErrorCode::kPermission: return "StorePermissionError";
    case ErrorCode::kClosed: return "StoreClosedError";
    case ErrorCode::kNotFound: return "ModelNotFoundError";
    case ErrorCode::kExists: return "ModelExistsError";
    case ErrorCode::kDonorGone: return "DonorGoneError";
    case ErrorCode::kIo: return "StoreError";
  }
  return "StoreError";
}

}  // namespace

PYBIND11_MODULE(_native, module) {
  module.doc() = "The C++ side of parsl_tl: prefix hashes, the model store's engine, baselines.";
  // The Arrow ABI is that of one release of pyarrow; parsl_tl.native compares it at import.
  module.attr("PYARROW_VERSION") = PARSL_TL_PYARROW_VERSION;

  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const parsl_tl::StoreException& error) {
      const py::object type =
          py::module_::import("parsl_tl.errors").attr(python_class(error.code()));
      py::set_error(type, error.what());
    }
  });

  parsl_tl::bind_baselines(module);
  parsl_tl::bind_hash(module);
  parsl_tl::bind_engine(module);
}
