#include "copied_layers.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "reading.hpp"

namespace parsl_tl {

void CopiedLayers::add_to(PutRequest& request) {
  std::unordered_set<std::uint32_t> given;
  for (const TensorArgument& tensor : request.tensors) given.insert(tensor.layer);
  std::unordered_map<std::uint64_t, std::size_t> donors;
  for (std::size_t i = 0; i < donor_->layers.size(); ++i) {
    if (donor_->layers[i].has_weights()) donors[donor_->layers[i].key] = i;
  }
  std::vector<std::uint32_t> layers;  // of the model, and which of the donor's they are
  std::vector<std::size_t> places;
  for (std::uint32_t i = 0; i < request.layer_keys.size(); ++i) {
    const auto found = donors.find(request.layer_keys[i]);
    if (given.contains(i) || found == donors.end()) continue;
    layers.push_back(i);
    places.push_back(found->second);
  }
  const std::vector<LayerBytes> bytes = view_layers(*donor_, places);  // verified

  std::vector<TensorArgument> tensors;
  auto uploaded = request.tensors.begin();
  const auto take_until = [&](std::uint32_t layer) {
    for (; uploaded != request.tensors.end() && uploaded->layer < layer; ++uploaded) {
      parts_.push_back({uploaded->announced, {}});
      tensors.push_back(std::move(*uploaded));
    }
  };
  for (std::size_t i = 0; i < layers.size(); ++i) {
    take_until(layers[i]);
    const auto infos = donor_->layers[places[i]].tensor_infos();
    for (std::size_t j = 0; j < infos.size(); ++j) {
      parts_.push_back({0, bytes[i][j]});
      tensors.push_back({layers[i], infos[j].dtype, infos[j].shape, {}, bytes[i][j].size()});
    }
  }
  take_until(static_cast<std::uint32_t>(request.layer_keys.size()));
  // What is left names layers that there are not: the engine says so.
  std::move(uploaded, request.tensors.end(), std::back_inserter(tensors));
  request.tensors = std::move(tensors);
  request.source = this;
  request.inherited.emplace();  // nothing: all of it is here
}

std::span<const std::uint8_t> CopiedLayers::take() {
  for (; next_ < parts_.size(); ++next_) {
    Part& part = parts_[next_];
    if (!part.copied.empty()) return std::exchange(part.copied, {});
    if (part.uploaded == 0) continue;
    const auto bytes = take_uploaded(part.uploaded);
    part.uploaded -= bytes.size();
    return bytes;  // none: fewer came than were announced
  }
  return take_uploaded(~std::uint64_t{0});  // more than were announced, if any
}

std::span<const std::uint8_t> CopiedLayers::take_uploaded(std::uint64_t most) {
  if (piece_.empty()) piece_ = upload_.take();
  const auto bytes = piece_.first(std::min<std::uint64_t>(most, piece_.size()));
  piece_ = piece_.subspan(bytes.size());
  return bytes;
}

}  // namespace parsl_tl
