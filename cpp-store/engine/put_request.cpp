#include "put_request.hpp"

#include <arrow/util/utf8.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <unordered_set>

#include "errors.hpp"
#include "layer_name.hpp"

namespace parsl_tl {
namespace {

constexpr std::size_t kMostDtypeLetters = 64;
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 60;  // of a model; offsets cannot overflow

[[noreturn]] void refuse_put(const std::string& why) {
  throw StoreException(ErrorCode::kInvalidValue, why);
}

void refuse_if(bool wrong, const std::string& why) {
  if (wrong) refuse_put(why);
}

bool is_utf8(std::string_view text) {
  // Without its tables, which nobody else may have asked for, Arrow takes every text for valid.
  static const bool has_tables = [] {
    arrow::util::InitializeUTF8();
    return true;
  }();
  return has_tables && arrow::util::ValidateUTF8(text);
}

void validate_layers(const std::vector<std::uint64_t>& keys, const std::vector<std::string>& names,
                     const std::string& who) {
  refuse_if(keys.empty(), who + "a model without layers");
  refuse_if(names.size() != keys.size(), who + "as many layer names as keys are needed");
  std::unordered_set<std::uint64_t> seen;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto name = parse_layer_name(names[i]);
    refuse_if(!name || layer_key(name->prefix_hash, name->twin) != keys[i],
              who + "layer name " + names[i] + " does not fit its key");
    refuse_if(!seen.insert(keys[i]).second, who + "layer " + names[i] + " comes twice");
    // A log with other bytes in its texts could not be read any more.
    refuse_if(!is_utf8(names[i]), who + "a layer's name is no UTF-8");
  }
}

void validate_edges(const PutRequest& request, const std::string& who) {
  const std::size_t layers = request.layer_keys.size();
  refuse_if(request.edges.size() % 2 != 0, who + "edges are pairs of layers");
  for (const std::uint32_t end : request.edges) {
    refuse_if(end >= layers,
              who + "an edge names layer " + std::to_string(end) + " of " + std::to_string(layers));
  }
}

bool is_dtype_name(const std::string& name) {
  return !name.empty() && name.size() <= kMostDtypeLetters &&
         std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

std::string text_of(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t dimension : shape) {
    text += (text.empty() ? "" : ", ") + std::to_string(dimension);
  }
  return "(" + text + ")";
}

/// That a segment with the tensor can be read again.
void validate_tensor(const TensorArgument& tensor, const std::string& who) {
  if (tensor.shape.size() > 255) refuse_put(who + "a tensor of more than 255 dimensions");
  for (const std::int64_t dimension : tensor.shape) {
    if (dimension < 0 || dimension > std::numeric_limits<std::uint32_t>::max()) {
      refuse_put(who + "a tensor with a dimension of " + std::to_string(dimension) +
                 "; 0 to 2^32 - 1 can be stored");
    }
  }
  if (!is_dtype_name(tensor.dtype)) {
    refuse_put(who + "a dtype with a name of " + std::to_string(tensor.dtype.size()) +
               " letters; it must have 1 to " + std::to_string(kMostDtypeLetters) +
               ", all of them printable ASCII");
  }
  if (!shape_fits(tensor.shape, tensor.size())) {
    refuse_put(who + "a tensor of shape " + text_of(tensor.shape) + " and dtype " + tensor.dtype +
               " cannot have " + std::to_string(tensor.size()) + " bytes");
  }
}

void validate_tensors(const PutRequest& request, const std::string& who) {
  const bool streamed = request.source != nullptr;
  std::uint32_t last = 0;
  std::uint64_t bytes = 0;
  for (const TensorArgument& tensor : request.tensors) {
    if (tensor.layer >= request.layer_keys.size()) {
      refuse_put(who + "weights for layer " + std::to_string(tensor.layer) + " of " +
                 std::to_string(request.layer_keys.size()));
    }
    if (streamed ? !tensor.bytes.empty() : tensor.announced != 0) {
      refuse_put(who + "a tensor's bytes are either in memory or come from the source");
    }
    validate_tensor(tensor, who);
    if (streamed && tensor.layer < last) {
      refuse_put(who + "a tensor of layer " + std::to_string(tensor.layer) +
                 " after one of layer " + std::to_string(last) +
                 "; from a source they come in the order of the layers");
    }
    if (tensor.size() > kMostBytes - bytes) {
      refuse_put(who + "its tensors have more than " + std::to_string(kMostBytes) + " bytes");
    }
    last = tensor.layer;
    bytes += tensor.size();
  }
}

void validate_inherited(const PutRequest& request, const std::string& who) {
  std::unordered_set<std::uint32_t> taken;
  for (const TensorArgument& tensor : request.tensors) taken.insert(tensor.layer);
  for (const InheritedLayer& layer : *request.inherited) {
    refuse_if(layer.layer >= request.layer_keys.size(), who + "it inherits a layer that it lacks");
    refuse_if(layer.owner == request.model_id, who + "it inherits a layer from itself");
    refuse_if(!taken.insert(layer.layer).second,
              who + "layer " + request.layer_names[layer.layer] +
                  " is inherited twice, or has weights of its own");
  }
}

}  // namespace

void validate(const PutRequest& request) {
  const std::string who = "model " + hex_id(request.model_id) + ": ";
  refuse_if(!std::isfinite(request.quality), who + "quality is " + std::to_string(request.quality) +
                                                 "; it must be a finite number (negative is fine)");
  refuse_if(request.parent == request.model_id, who + "it cannot be its own parent");
  refuse_if(request.donor == request.model_id, who + "it cannot be its own donor");
  validate_layers(request.layer_keys, request.layer_names, who);
  refuse_if(!is_utf8(request.attributes), who + "its attributes are no UTF-8");
  validate_edges(request, who);
  validate_tensors(request, who);
  if (request.inherited) validate_inherited(request, who);
  if (!request.weighted) return;
  for (const auto& layers : {request.weighted->certain, request.weighted->possible}) {
    for (const std::uint32_t layer : layers) {
      refuse_if(layer >= request.layer_keys.size(),
                who + "it needs weights of a layer that it lacks");
    }
  }
}

void LayerSum::add(std::uint64_t key, std::uint64_t owner) {
  // Mixed, so that no two layers cancel each other out.
  std::uint64_t mixed = (key ^ (owner * 0x9E3779B97F4A7C15U)) * 0xBF58476D1CE4E5B9U;
  mixed = (mixed ^ (mixed >> 29)) * 0x94D049BB133111EBU;
  sum += mixed ^ (mixed >> 32);
  ++count;
}

void validate(const HoldRequest& request) {
  const std::string who = "hold of model " + hex_id(request.model_id) + ": ";
  validate_layers(request.layer_keys, request.layer_names, who);
  refuse_if(request.owners.size() != request.layer_keys.size(), who + "each layer has an owner");
}

Record make_record(const PutRequest& request, std::int64_t created_ns) {
  Record record;
  record.model_id = request.model_id;
  record.created_ns = created_ns;
  record.quality = request.quality;
  record.parent = request.parent;
  record.donor = request.donor;
  record.fingerprint = request.fingerprint;
  record.edges = request.edges;
  record.architecture = request.architecture;
  record.attributes = request.attributes;
  record.layers.reserve(request.layer_keys.size());
  for (std::size_t i = 0; i < request.layer_keys.size(); ++i) {
    record.layers.push_back(
        {request.layer_keys[i], request.layer_names[i], request.model_id, 0, false});
  }
  for (const TensorArgument& tensor : request.tensors) {
    record.layers[tensor.layer].bytes += tensor.size();
    record.layers[tensor.layer].has_weights = true;
  }
  return record;
}

std::vector<TensorView> tensors_by_layer(const PutRequest& request) {
  std::vector<const TensorArgument*> order;
  for (const TensorArgument& tensor : request.tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(),
                   [](const auto* a, const auto* b) { return a->layer < b->layer; });
  std::vector<TensorView> views;
  for (const TensorArgument* tensor : order) {
    views.push_back(
        {request.layer_keys[tensor->layer], tensor->dtype, tensor->shape, tensor->bytes});
  }
  return views;
}

std::vector<TensorInfo> announced_tensors(const PutRequest& request) {
  std::vector<TensorInfo> infos;
  infos.reserve(request.tensors.size());
  for (const TensorArgument& tensor : request.tensors) {
    TensorInfo& info = infos.emplace_back();
    info.key = request.layer_keys[tensor.layer];
    info.size = tensor.announced;
    info.dtype = tensor.dtype;
    info.shape = tensor.shape;
  }
  return infos;
}

}  // namespace parsl_tl
