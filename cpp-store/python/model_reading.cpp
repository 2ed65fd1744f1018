#include "model_reading.hpp"

namespace parsl_tl {

/// numpy's dtype of a stored name; looked up in Python once.
const py::dtype& dtype_of(const std::string& name) {
  static auto* const known = new std::unordered_map<std::string, py::dtype>();
  const auto found = known->find(name);
  if (found != known->end()) return found->second;
  const py::object made = py::module_::import("parsl_tl.store.tensors").attr("dtype_of")(name);
  return known->emplace(name, py::reinterpret_borrow<py::dtype>(made)).first->second;
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
