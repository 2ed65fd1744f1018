#include "model_reading.hpp"

namespace parsl_tl {

namespace {

py::dtype look_up_dtype(const std::string& name) {
  try {
    return py::dtype::from_args(py::str(name));
  } catch (const py::error_already_set& error) {
    if (!error.matches(PyExc_TypeError)) throw;
  }
  // None of numpy's own: bfloat16 and the 8-bit floats come from ml_dtypes.
  const py::object found = py::getattr(py::module_::import("ml_dtypes"), name.c_str(), py::none());
  if (found.is_none()) {
    throw StoreException(ErrorCode::kFormat, "the store holds weights of dtype '" + name +
                                                 "', which neither numpy nor ml_dtypes knows");
  }
  return py::dtype::from_args(found);
}

}  // namespace

const py::dtype& dtype_of(const std::string& name) {
  static auto* const known = new std::unordered_map<std::string, py::dtype>();
  const auto found = known->find(name);
  if (found != known->end()) return found->second;
  return known->emplace(name, look_up_dtype(name)).first->second;
}

/// A read-only array over the mapped segment; `owner` keeps the mapping alive.
py::array array_over(const TensorInfo& tensor, std::span<const std::uint8_t> bytes,
                     const std::string& layer, const py::capsule& owner) {
  const py::dtype& dtype = dtype_of(tensor.dtype);
  std::uint64_t expected = static_cast<std::uint64_t>(dtype.itemsize());
  for (const std::int64_t dimension : tensor.shape) {
    if (__builtin_mul_overflow(expected, static_cast<std::uint64_t>(dimension), &expected)) break;
  }
  if (expected != bytes.size()) {
    throw StoreException(ErrorCode::kCorrupt,
                         "layer " + layer + ": its shape and dtype do not fit its bytes");
  }
  py::array array(dtype, tensor.shape, bytes.data(), owner);
  py::detail::array_proxy(array.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  return array;
}

}  // namespace parsl_tl
