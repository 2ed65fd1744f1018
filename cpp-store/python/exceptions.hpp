// StoreException as the exceptions of parsl_tl.errors.
#pragma once

#include <pybind11/pybind11.h>

#include <exception>

#include "errors.hpp"

namespace parsl_tl {

inline const char* python_class(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidValue:
      return "InvalidValueError";
    case ErrorCode::kFormat:
      return "StoreFormatError";
    case ErrorCode::kCorrupt:
      return "StoreCorruptError";
    case ErrorCode::kFull:
      return "StoreFullError";
    case ErrorCode::kPermission:
      return "StorePermissionError";
    case ErrorCode::kClosed:
      return "StoreClosedError";
    case ErrorCode::kNotFound:
      return "ModelNotFoundError";
    case ErrorCode::kExists:
      return "ModelExistsError";
    case ErrorCode::kDonorGone:
      return "DonorGoneError";
    case ErrorCode::kIo:
      return "StoreError";
    case ErrorCode::kUnreachable:
      return "StoreUnreachableError";
    case ErrorCode::kDenied:
      return "StoreDeniedError";
    case ErrorCode::kBusy:
      return "StoreBusyError";
    case ErrorCode::kWrongStore:
      return "StoreIdentityError";
    case ErrorCode::kStale:
      return "StoreBusyError";
  }
  return "StoreError";
}

/// Translates StoreException for the module, and gives it `set_errors`, by which the package hands
/// in its module of exception classes. Each module that throws has its own.
inline void register_exceptions(pybind11::module_& module) {
  static pybind11::handle errors;  // never released: the interpreter may end before this library
  module.def(
      "set_errors", [](const pybind11::module_& given) { errors = given.inc_ref(); },
      pybind11::arg("errors"));
  pybind11::register_local_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const StoreException& error) {
      if (!errors) {
        pybind11::set_error(PyExc_RuntimeError, error.what());
      } else {
        pybind11::set_error(errors.attr(python_class(error.code())), error.what());
      }
    }
  });
}

}  // namespace parsl_tl
