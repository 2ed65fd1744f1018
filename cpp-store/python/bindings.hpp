// Registration of the module's parts, one function each.
#pragma once

#include <pybind11/pybind11.h>

namespace parsl_tl {

void bind_engine(pybind11::module_& module);
void bind_following(pybind11::module_& module);
void bind_remote(pybind11::module_& module);
void bind_server(pybind11::module_& module);
void bind_transport(pybind11::module_& module);
void bind_hash(pybind11::module_& module);
void bind_keras_json(pybind11::module_& module);
void bind_prefix_index(pybind11::module_& module);

}  // namespace parsl_tl
