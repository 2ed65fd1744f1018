// NumPy arrays as spans, and vectors as NumPy arrays that own them.
#pragma once

#include <pybind11/numpy.h>

#include <span>
#include <utility>
#include <vector>

namespace parsl_tl {

template <typename T>
using Array = pybind11::array_t<T, pybind11::array::c_style | pybind11::array::forcecast>;

template <typename T>
std::span<const T> view(const Array<T>& array) {
  return {array.data(), static_cast<std::size_t>(array.size())};
}

template <typename T>
pybind11::array_t<T> to_array(std::vector<T> values) {
  auto* owned = new std::vector<T>(std::move(values));
  const pybind11::capsule owner(
      owned, [](void* pointer) { delete static_cast<std::vector<T>*>(pointer); });
  return pybind11::array_t<T>({static_cast<pybind11::ssize_t>(owned->size())}, owned->data(),
                              owner);
}

}  // namespace parsl_tl
