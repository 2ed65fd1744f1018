#include "reading.hpp"

#include <algorithm>
#include <cstring>
#include <functional>

#include "errors.hpp"
#include "parallel.hpp"

namespace parsl_tl {
namespace {

// What one thread takes at a time, and from how much on a second thread repays its start.
constexpr std::size_t kPiece = 2 << 20;
constexpr std::uint64_t kBytesWorthThreads = 8 << 20;
// More do not make one memory faster.
constexpr unsigned kMostThreads = 4;

unsigned threads_for(std::uint64_t bytes) {
  if (bytes < kBytesWorthThreads) return 1;
  return std::min(usable_cores(), kMostThreads);
}

struct Tensor {
  Segment* segment;
  std::uint32_t index;
  const std::string* layer;

  const TensorInfo& info() const { return segment->directory()[index]; }
  /// Whether a first access costs more than a look.
  bool is_cold() const { return segment->is_unverified(index) || info().codec != Codec::kRaw; }
};

std::vector<Tensor> tensors_of(const PinnedModel& model, std::span<const std::size_t> places) {
  std::vector<Tensor> tensors;
  for (const std::size_t place : places) {
    const PinnedModel::Layer& layer = model.layers[place];
    if (layer.is_elsewhere) {
      throw StoreException(
          ErrorCode::kInvalidValue,
          "layer " + layer.name + " of model " + hex_id(model.id) + " belongs to model " +
              hex_id(layer.owner) +
              ", which is on another server; open the store by naming all of them");
    }
    for (std::uint32_t i = 0; i < layer.tensors.count; ++i) {
      tensors.push_back({layer.segment.get(), layer.tensors.first + i, &layer.name});
    }
  }
  return tensors;
}

}  // namespace

std::vector<LayerBytes> view_layers(const PinnedModel& model, std::span<const std::size_t> places) {
  std::vector<Tensor> cold = tensors_of(model, places);
  std::erase_if(cold, [](const Tensor& tensor) { return !tensor.is_cold(); });
  std::uint64_t bytes = 0;
  for (const Tensor& tensor : cold) bytes += tensor.info().size;
  parallel_for(cold.size(), threads_for(bytes),
               [&](std::size_t i) { cold[i].segment->tensor(cold[i].index, *cold[i].layer); });
  std::vector<LayerBytes> layers(places.size());
  for (std::size_t i = 0; i < places.size(); ++i) {
    const PinnedModel::Layer& layer = model.layers[places[i]];
    layers[i].reserve(layer.tensors.count);
    for (std::uint32_t j = 0; j < layer.tensors.count; ++j) {
      layers[i].push_back(layer.segment->tensor(layer.tensors.first + j, layer.name));
    }
  }
  return layers;
}

void copy_layers(const PinnedModel& model, std::span<const std::size_t> places,
                 std::span<const LayerMemory> memory) {
  std::vector<std::span<std::uint8_t>> out;
  for (const LayerMemory& layer : memory) out.insert(out.end(), layer.begin(), layer.end());
  const std::vector<Tensor> tensors = tensors_of(model, places);
  const auto fits = [&](std::size_t i) { return out[i].size() == tensors[i].info().size; };
  bool all_fit = out.size() == tensors.size();
  for (std::size_t i = 0; all_fit && i < out.size(); ++i) all_fit = fits(i);
  if (!all_fit) {
    throw StoreException(ErrorCode::kInvalidValue, "the given memory does not fit the tensors");
  }

  std::uint64_t bytes = 0;
  std::vector<std::function<void()>> pieces;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& tensor = tensors[i];
    const auto target = out[i];
    bytes += target.size();
    if (tensor.is_cold()) {  // its checksum is one sum from its first byte to its last
      pieces.emplace_back(
          [&tensor, target] { tensor.segment->copy(tensor.index, *tensor.layer, target); });
      continue;
    }
    const auto source = tensor.segment->stored(tensor.index);
    for (std::size_t done = 0; done < source.size(); done += kPiece) {
      const std::size_t size = std::min(kPiece, source.size() - done);
      pieces.emplace_back([from = source.data() + done, to = target.data() + done, size] {
        std::memcpy(to, from, size);
      });
    }
  }
  parallel_for(pieces.size(), threads_for(bytes), [&](std::size_t i) { pieces[i](); });
}

}  // namespace parsl_tl
