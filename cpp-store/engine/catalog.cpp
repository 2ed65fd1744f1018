#include "catalog.hpp"

#include <algorithm>
#include <deque>
#include <unordered_set>

#include "errors.hpp"

namespace parsl_tl {
namespace {

[[noreturn]] void contradiction(std::uint64_t id, const std::string& why) {
  throw StoreException(ErrorCode::kCorrupt, "the log's record of model " + hex_id(id) + " " + why);
}

}  // namespace

const Model* Catalog::find(std::uint64_t id) const {
  const auto found = models_.find(id);
  return found == models_.end() ? nullptr : &found->second;
}

const Model& Catalog::get(std::uint64_t id) const {
  const Model* model = find(id);
  if (model == nullptr) {
    throw StoreException(ErrorCode::kNotFound,
                         was_used(id) ? "model " + hex_id(id) + " was retired"
                                      : "no model " + hex_id(id) + " in this store");
  }
  return *model;
}

const OwnedLayer* Catalog::find_layer(std::uint64_t owner, std::uint64_t key) const {
  const auto found = owners_.find(owner);
  if (found == owners_.end()) return nullptr;
  const auto layer = found->second.layers.find(key);
  return layer == found->second.layers.end() ? nullptr : &layer->second;
}

RetireResult Catalog::apply(Record record, std::uint64_t log_offset) {
  if (record.operation == Operation::kRetire) return retire(record.model_id);
  put(std::move(record), log_offset);
  return {};
}

void Catalog::put(Record record, std::uint64_t log_offset) {
  const std::uint64_t id = record.model_id;
  if (was_used(id)) contradiction(id, "comes a second time");
  std::unordered_set<std::uint64_t> keys;
  for (const LayerRecord& layer : record.layers) {
    if (!keys.insert(layer.key).second) contradiction(id, "holds a layer twice: " + layer.name);
    if (layer.owner != id && find_layer(layer.owner, layer.key) == nullptr) {
      contradiction(id, "refers to a layer that " + hex_id(layer.owner) + " does not hold: " +
                            layer.name);
    }
  }

  Model model{id,           next_sequence_++, record.created_ns, record.quality, record.parent,
              record.donor, {},               0,                 0,              log_offset,
              std::move(record.attributes)};
  std::vector<PrefixIndex::Entry> entries;
  for (LayerRecord& layer : record.layers) {
    Owner& owner = owners_[layer.owner];
    OwnedLayer& owned = owner.layers[layer.key];
    if (layer.owner == id) {
      for (const TensorRecord& tensor : layer.tensors) {
        owned.bytes += tensor.size;
        owner.segment_bytes = std::max(owner.segment_bytes, tensor.offset + tensor.size);
      }
      owned.tensors = std::move(layer.tensors);
      model.bytes_owned += owned.bytes;
    }
    ++owned.references;
    model.bytes_total += owned.bytes;
    entries.push_back({layer.key, owned.bytes});
    model.layers.push_back({layer.key, std::move(layer.name), layer.owner});
  }
  bytes_live_ += model.bytes_owned;
  if (const auto owner = owners_.find(id); owner != owners_.end()) {
    bytes_segments_ += owner->second.segment_bytes;
  }
  index_.add(id, model.quality, model.sequence, entries);
  parent_of_[id] = model.parent;
  if (model.parent) children_of_[*model.parent].push_back(id);
  const auto [place, inserted] = models_.emplace(id, std::move(model));
  by_sequence_[place->second.sequence] = &place->second;
}

RetireResult Catalog::retire(std::uint64_t id) {
  const auto found = models_.find(id);
  if (found == models_.end()) contradiction(id, "retires a model that is not there");
  RetireResult result;
  for (const LayerShare& share : found->second.layers) {
    const auto owner = owners_.find(share.owner);
    const auto layer = owner->second.layers.find(share.key);
    if (--layer->second.references > 0) continue;
    result.bytes_freed += layer->second.bytes;
    owner->second.layers.erase(layer);
    const auto& left = owner->second.layers;
    const bool has_tensors = std::any_of(left.begin(), left.end(), [](const auto& entry) {
      return !entry.second.tensors.empty();
    });
    if (!has_tensors && owner->second.segment_bytes > 0) {
      result.dead_segments.push_back(share.owner);
      bytes_segments_ -= owner->second.segment_bytes;
      owner->second.segment_bytes = 0;
    }
    if (left.empty()) owners_.erase(owner);
  }
  bytes_live_ -= result.bytes_freed;
  index_.remove(id);
  by_sequence_.erase(found->second.sequence);
  models_.erase(found);
  return result;
}

std::vector<std::uint64_t> Catalog::ancestors(std::uint64_t id) const {
  std::vector<std::uint64_t> line;
  std::unordered_set<std::uint64_t> seen{id};
  auto next = parent_of_.find(id);
  while (next != parent_of_.end() && next->second) {
    const std::uint64_t parent = *next->second;
    if (!seen.insert(parent).second) break;  // ids are free-form: two models may name each other
    line.push_back(parent);
    next = parent_of_.find(parent);
  }
  return line;
}

std::vector<std::uint64_t> Catalog::descendants(std::uint64_t id) const {
  std::vector<std::uint64_t> found;
  std::unordered_set<std::uint64_t> seen{id};
  std::deque<std::uint64_t> open{id};
  while (!open.empty()) {
    const auto children = children_of_.find(open.front());
    open.pop_front();
    if (children == children_of_.end()) continue;
    for (const std::uint64_t child : children->second) {
      if (!seen.insert(child).second) continue;
      found.push_back(child);
      open.push_back(child);
    }
  }
  return found;
}

}  // namespace parsl_tl
