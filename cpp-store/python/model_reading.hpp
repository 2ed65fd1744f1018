// Reading a model's layers into numpy, the same for a model of the engine and for one of servers.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine.hpp"
#include "errors.hpp"
#include "reading.hpp"
#include "remote_model.hpp"

namespace parsl_tl {

namespace py = pybind11;

using ByteArray = py::array_t<std::uint8_t, py::array::c_style>;

inline bool has_tensors(const PinnedModel::Layer& layer) { return layer.has_weights(); }
inline bool has_tensors(const RemoteModel::Layer& layer) { return layer.has_weights; }

/// Bytes of layers, and what has to live for as long as they are used.
struct Viewed {
  std::vector<LayerBytes> layers;
  std::shared_ptr<const void> owner;
};
inline Viewed view_for_python(const std::shared_ptr<PinnedModel>& model,
                              std::span<const std::size_t> places) {
  return {view_layers(*model, places), model};
}
inline Viewed view_for_python(const std::shared_ptr<RemoteModel>& model,
                              std::span<const std::size_t> places) {
  auto viewed = std::make_shared<ViewedLayers>(view_layers(*model, places));
  return {viewed->layers, viewed};
}

/// numpy's dtype of a stored name; looked up in Python once.
const py::dtype& dtype_of(const std::string& name);
/// A read-only array over memory that `owner` keeps alive.
py::array array_over(const TensorInfo& tensor, std::span<const std::uint8_t> bytes,
                     const std::string& layer, const py::capsule& owner);

/// Places of the named layers, in the order of the names; of all that have tensors without names.
template <typename Model>
std::vector<std::size_t> places_of(const Model& model,
                                   const std::optional<std::vector<std::string>>& names) {
  std::vector<std::size_t> places;
  if (!names) {
    for (std::size_t i = 0; i < model.layers.size(); ++i) {
      if (has_tensors(model.layers[i])) places.push_back(i);
    }
    return places;
  }
  std::unordered_map<std::string_view, std::size_t> known;
  for (std::size_t i = 0; i < model.layers.size(); ++i) known[model.layers[i].name] = i;
  for (const std::string& name : *names) {
    const auto found = known.find(name);
    if (found == known.end()) {
      throw StoreException(ErrorCode::kInvalidValue,
                           "model " + hex_id(model.id) + " has no layer '" + name +
                               "'; store.composition(model_id) lists its layers");
    }
    places.push_back(found->second);
  }
  return places;
}

/// {layer name: [read-only views]}.
template <typename Model>
py::dict views(const std::shared_ptr<Model>& model,
               const std::optional<std::vector<std::string>>& names) {
  std::vector<std::size_t> places;
  Viewed viewed;
  {
    const py::gil_scoped_release release;  // checksums are computed, or bytes are fetched
    places = places_of(*model, names);
    viewed = view_for_python(model, places);
  }
  const py::capsule owner(new std::shared_ptr<const void>(viewed.owner), [](void* pointer) {
    delete static_cast<std::shared_ptr<const void>*>(pointer);
  });
  py::dict result;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto& layer = model->layers[places[i]];
    const auto& bytes = viewed.layers[i];
    py::list arrays(bytes.size());
    const auto tensors = layer.tensor_infos();
    for (std::size_t tensor = 0; tensor < bytes.size(); ++tensor) {
      arrays[tensor] = array_over(tensors[tensor], bytes[tensor], layer.name, owner);
    }
    result[py::str(layer.name)] = std::move(arrays);
  }
  return result;
}

/// [(layer name, [(dtype, shape)])], without reading any tensor.
template <typename Model>
py::list types(const Model& model, const std::optional<std::vector<std::string>>& names) {
  py::list result;
  for (const std::size_t place : places_of(model, names)) {
    const auto& layer = model.layers[place];
    py::list tensors;
    for (const TensorInfo& tensor : layer.tensor_infos()) {
      tensors.append(py::make_tuple(dtype_of(tensor.dtype), py::tuple(py::cast(tensor.shape))));
    }
    result.append(py::make_tuple(layer.name, std::move(tensors)));
  }
  return result;
}

/// Copies layers into memory of exactly their tensors' sizes.
template <typename Model>
void copy_into(const Model& model, const std::vector<std::string>& names,
               std::vector<std::vector<ByteArray>> targets) {
  std::vector<LayerMemory> memory;
  for (std::vector<ByteArray>& layer : targets) {
    memory.emplace_back();
    for (ByteArray& target : layer) {
      memory.back().emplace_back(target.mutable_data(), static_cast<std::size_t>(target.size()));
    }
  }
  const py::gil_scoped_release release;
  copy_layers(model, places_of(model, names), memory);
}

/// [(name, key, owner, bytes, [(dtype, shape)])].
template <typename Model>
py::list layers_of(const Model& model) {
  py::list layers;
  for (const auto& layer : model.layers) {
    py::list tensors;
    for (const TensorInfo& tensor : layer.tensor_infos()) {
      tensors.append(py::make_tuple(tensor.dtype, py::tuple(py::cast(tensor.shape))));
    }
    layers.append(py::make_tuple(layer.name, layer.key, layer.owner, layer.bytes, tensors));
  }
  return layers;
}

/// {layer key: bytes of its tensors}.
template <typename Model>
py::dict layer_bytes(const Model& model) {
  py::dict sizes;
  for (const auto& layer : model.layers) sizes[py::int_(layer.key)] = layer.bytes;
  return sizes;
}

template <typename Model>
void bind_model(py::module_& module, const char* name) {
  py::class_<Model, std::shared_ptr<Model>>(module, name)
      .def_property_readonly("model_id", [](const Model& model) { return model.id; })
      .def_property_readonly("quality", [](const Model& model) { return model.quality; })
      .def("layers", &layers_of<Model>)
      .def("layer_bytes", &layer_bytes<Model>)
      .def("views", &views<Model>, py::arg("names"))
      .def("types", &types<Model>, py::arg("names"))
      .def("copy_into", &copy_into<Model>, py::arg("names"), py::arg("targets"));
}

}  // namespace parsl_tl
