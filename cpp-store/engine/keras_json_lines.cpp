#include "keras_json_lines.hpp"

#include <algorithm>

#include "errors.hpp"
#include "flat_models.hpp"
#include "layer_name.hpp"

namespace parsl_tl {
namespace {

[[noreturn]] void refuse_lines(const std::string& why) {
  throw StoreException(ErrorCode::kInvalidValue, why);
}

void check(const GapText& text) {
  if (text.pieces.size() != text.gaps.size() + 1) {
    refuse_lines("a text with n gaps has n + 1 pieces");
  }
}

std::size_t num_twins(std::span<const std::uint64_t> earlier, std::uint64_t hash) {
  return static_cast<std::size_t>(std::count(earlier.begin(), earlier.end(), hash));
}

}  // namespace

KerasJsonLines::KerasJsonLines(std::vector<LayerTemplate> layers, std::string head, GapText foot)
    : layers_(std::move(layers)), head_(std::move(head)), foot_(std::move(foot)) {
  check(foot_);
  for (LayerTemplate& layer : layers_) {
    check(layer.text);
    std::int32_t most = kOwnName;
    for (const std::int32_t gap : layer.text.gaps) {
      if (gap < kOwnName) refuse_lines("a gap names no input");
      most = std::max(most, gap);
    }
    layer.num_inputs = static_cast<std::size_t>(most + 1);
  }
}

std::string KerasJsonLines::write(const LayerBatch& batch) const {
  const std::size_t models = batch.layer_starts.empty() ? 0 : batch.layer_starts.size() - 1;
  if (batch.edges.size() % 2 != 0) refuse_lines("edges are pairs");
  check_starts(batch.layer_starts, models, batch.hashes.size());
  check_starts(batch.edge_starts, models, batch.edges.size() / 2);
  if (batch.templates.size() != batch.hashes.size()) {
    refuse_lines("one template is needed for each layer");
  }
  std::string out;
  std::vector<std::string> names;
  for (std::size_t model = 0; model < models; ++model) {
    write_model(batch, model, names, out);
    // From the first models the size of all is known well enough to grow but once.
    if (model == 7) out.reserve(out.size() / 8 * (models + models / 8 + 1));
  }
  return out;
}

void KerasJsonLines::write_model(const LayerBatch& batch, std::size_t model,
                                 std::vector<std::string>& names, std::string& out) const {
  const auto first = static_cast<std::size_t>(batch.layer_starts[model]);
  const auto count = static_cast<std::size_t>(batch.layer_starts[model + 1]) - first;
  const auto hashes = batch.hashes.subspan(first, count);
  names.clear();
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t kind = batch.templates[first + i];
    if (kind >= layers_.size()) refuse_lines("a layer's template is unknown");
    names.push_back(format_layer_name(layers_[kind].class_name, hashes[i],
                                      num_twins(hashes.first(i), hashes[i])));
  }
  auto edge = static_cast<std::size_t>(batch.edge_starts[model]);
  const auto end = static_cast<std::size_t>(batch.edge_starts[model + 1]);
  out += head_;
  for (std::size_t i = 0; i < count; ++i) {
    const LayerTemplate& layer = layers_[batch.templates[first + i]];
    const std::size_t inputs = edge;
    for (; edge < end && batch.edges[2 * edge + 1] == i; ++edge) {
      if (batch.edges[2 * edge] >= count) refuse_lines("an edge leaves the model");
    }
    if (edge - inputs != layer.num_inputs) {
      refuse_lines("a layer has not the inputs that its template has");
    }
    if (i > 0) out += ", ";
    for (std::size_t gap = 0; gap < layer.text.gaps.size(); ++gap) {
      out += layer.text.pieces[gap];
      const std::int32_t which = layer.text.gaps[gap];
      const std::size_t source =
          which == kOwnName ? i : batch.edges[2 * (inputs + static_cast<std::size_t>(which))];
      out += names[source];
    }
    out += layer.text.pieces.back();
  }
  if (edge != end) refuse_lines("edges do not stand in the order of their targets");
  for (std::size_t gap = 0; gap < foot_.gaps.size(); ++gap) {
    out += foot_.pieces[gap];
    const std::int64_t which = foot_.gaps[gap];
    const std::int64_t place = which < 0 ? which + static_cast<std::int64_t>(count) : which;
    if (place < 0 || place >= static_cast<std::int64_t>(count)) {
      refuse_lines("the model's foot names a layer that it has not");
    }
    out += names[static_cast<std::size_t>(place)];
  }
  out += foot_.pieces.back();
  out += '\n';
}

}  // namespace parsl_tl
