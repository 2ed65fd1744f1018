#include "catalog.hpp"

#include <algorithm>

#include "errors.hpp"

namespace parsl_tl {
namespace {

/// Not from the log, where every owner is checked: a snapshot that contradicts itself.
[[noreturn]] void unknown_layer(const LayerRecord& layer) {
  throw StoreException(ErrorCode::kCorrupt, "the snapshot counts no reference to layer " +
                                                hex_id(layer.key) + " of " + hex_id(layer.owner) +
                                                "; remove it: it is made anew from the log");
}

[[noreturn]] void contradiction(std::uint64_t id, const std::string& why) {
  throw StoreException(ErrorCode::kCorrupt, "the log's record of model " + hex_id(id) + " " + why);
}

}  // namespace

Catalog::Catalog(std::shared_ptr<const Snapshot> base, Membership membership)
    : base_(std::move(base)), membership_(membership) {
  if (base_ == nullptr) return;
  const auto ids = base_->section<std::uint64_t>(Section::kIds);
  for (std::uint32_t slot = 0; slot < ids.size() && !membership_.is_alone(); ++slot) {
    if (membership_.is_home_of(ids[slot])) continue;
    hide(hidden_, slot);
    ++num_holds_;
  }
  next_sequence_ = base_->header().next_sequence;
  bytes_live_ = base_->header().bytes_live;
  bytes_segments_ = base_->header().bytes_segments;
}

Catalog::Change Catalog::prepare(Record record, RecordPlace place, std::uint64_t sequence) {
  Change change{std::move(record), nullptr};
  Record& from = change.record;
  if (from.operation != Operation::kPut) return change;
  auto model = std::make_shared<Model>();
  model->id = from.model_id;
  model->sequence = sequence;
  model->created_ns = from.created_ns;
  model->quality = from.quality;
  model->parent = from.parent;
  model->donor = from.donor;
  model->fingerprint = from.fingerprint;
  model->layers = std::move(from.layers);
  model->place = place;
  model->attributes = std::move(from.attributes);
  for (const LayerRecord& layer : model->layers) {
    model->bytes_total += layer.bytes;
    if (layer.owner == model->id) model->bytes_owned += layer.bytes;
  }
  from.architecture = {};
  from.edges = {};
  change.model = std::move(model);
  return change;
}

RetireResult Catalog::apply(const Change& change) {
  RetireResult result;
  const Record& record = change.record;
  switch (record.operation) {
    case Operation::kPut:
      result = put(change.model, record.segment_bytes);
      break;
    case Operation::kRetire:
      result = retire(record.model_id);
      break;
    case Operation::kShrink:
      shrink(record.model_id, record.segment_bytes);
      break;
    case Operation::kDeparted:
      depart(record);
      break;
  }
  ++num_changes_;
  return result;
}

bool Catalog::is_retired(std::uint32_t slot) const {
  return !retired_.empty() && ((retired_[slot / 64] >> (slot % 64)) & 1) != 0;
}

void Catalog::hide(RetiredBits& bits, std::uint32_t slot) const {
  if (bits.empty()) bits.resize(base_->num_models() / 64 + 1);
  bits[slot / 64] |= std::uint64_t{1} << (slot % 64);
}

std::size_t Catalog::num_holders() const noexcept {
  return models_.size() + (base_ ? base_->num_models() - num_retired_ : 0);
}

std::shared_ptr<const Model> Catalog::find(std::uint64_t id) const {
  if (const auto found = models_.find(id); found != models_.end()) return found->second;
  if (base_ == nullptr) return nullptr;
  const auto used = base_->find_used(id);
  if (!used || used->model == kNone || is_retired(used->model)) return nullptr;
  return std::make_shared<Model>(base_->model(used->model));
}

std::shared_ptr<const Model> Catalog::get(std::uint64_t id) const {
  auto model = find(id);
  if (model == nullptr) {
    throw StoreException(ErrorCode::kNotFound, was_used(id)
                                                   ? "model " + hex_id(id) + " was retired"
                                                   : "no model " + hex_id(id) + " in this store");
  }
  return model;
}

bool Catalog::is_living(std::uint64_t id) const {
  if (models_.contains(id)) return true;
  if (base_ == nullptr) return false;
  const auto used = base_->find_used(id);
  return used && used->model != kNone && !is_retired(used->model);
}

std::optional<std::int64_t> Catalog::created_ns(std::uint64_t id) const {
  if (const auto found = models_.find(id); found != models_.end()) return found->second->created_ns;
  const auto used = base_ ? base_->find_used(id) : std::nullopt;
  if (!used || used->model == kNone || is_retired(used->model)) return std::nullopt;
  return base_->section<std::int64_t>(Section::kCreated)[used->model];
}

bool Catalog::was_used(std::uint64_t id) const {
  return parent_of_.contains(id) || (base_ && base_->find_used(id));
}

std::optional<std::uint32_t> Catalog::base_layer(std::uint64_t owner, std::uint64_t key) const {
  if (base_ == nullptr) return std::nullopt;
  const auto place = base_->find_owner(owner);
  return place ? base_->find_layer(*place, key) : std::nullopt;
}

std::uint32_t Catalog::base_references(std::uint32_t layer) const {
  const auto changed = base_references_.find(layer);
  if (changed != base_references_.end()) return changed->second;
  return base_->section<std::uint32_t>(Section::kLayerReferences)[layer];
}

std::uint64_t Catalog::base_segment(std::uint32_t owner) const {
  const auto changed = base_segments_.find(owner);
  if (changed != base_segments_.end()) return changed->second;
  return base_->section<std::uint64_t>(Section::kOwnerSegments)[owner];
}

std::optional<LayerUse> Catalog::find_layer(std::uint64_t owner, std::uint64_t key) const {
  if (const auto found = owners_.find(owner); found != owners_.end()) {
    const auto layer = found->second.layers.find(key);
    if (layer != found->second.layers.end()) return layer->second;
    if (membership_.is_home_of(owner)) return std::nullopt;
  }
  const auto layer = base_layer(owner, key);
  if (!layer || base_references(*layer) == 0) return std::nullopt;
  return LayerUse{base_->section<std::uint64_t>(Section::kLayerBytes)[*layer],
                  base_references(*layer)};
}

std::uint64_t Catalog::segment_bytes(std::uint64_t owner) const {
  if (const auto found = owners_.find(owner); found != owners_.end()) {
    return found->second.segment_bytes;
  }
  const auto place = base_ ? base_->find_owner(owner) : std::nullopt;
  return place ? base_segment(*place) : 0;
}

void Catalog::add_reference(const LayerRecord& layer) {
  if (!membership_.is_home_of(layer.owner) && !find_layer(layer.owner, layer.key)) {
    owners_[layer.owner].layers[layer.key] = {layer.bytes, 1};  // the first here to refer to it
    return;
  }
  if (const auto found = owners_.find(layer.owner); found != owners_.end()) {
    const auto use = found->second.layers.find(layer.key);
    if (use != found->second.layers.end()) {
      if (use->second.references++ == 0) --num_awaited_;
      return;
    }
  }
  const std::uint32_t place = *base_layer(layer.owner, layer.key);
  base_references_[place] = base_references(place) + 1;
}

RetireResult Catalog::put(std::shared_ptr<const Model> model, std::uint64_t segment_bytes) {
  const std::uint64_t id = model->id;
  const bool is_hold = !membership_.is_home_of(id);
  // A hold that comes again takes the place of the one before.
  if (!is_hold && was_used(id)) contradiction(id, "comes a second time");
  std::unordered_set<std::uint64_t> keys;
  for (const LayerRecord& layer : model->layers) {
    if (!keys.insert(layer.key).second) contradiction(id, "holds a layer twice: " + layer.name);
    const bool is_elsewhere = !is_hold && !membership_.is_home_of(layer.owner);
    if (layer.owner != id && !is_elsewhere && !find_layer(layer.owner, layer.key)) {
      contradiction(
          id, "refers to a layer that " + hex_id(layer.owner) + " does not hold: " + layer.name);
    }
  }
  Owner own;
  std::vector<DeltaIndex::Entry> entries;
  for (const LayerRecord& layer : model->layers) {
    entries.push_back({layer.key, layer.bytes});
    if (layer.owner != id) {
      if (layer.has_weights) add_reference(layer);
    } else if (layer.has_weights) {
      own.layers[layer.key] = {layer.bytes, 1};
    }
  }
  if (!own.layers.empty()) {
    own.segment_bytes = segment_bytes;
    bytes_segments_ += segment_bytes;
    bytes_live_ += model->bytes_owned;
    owners_[id] = std::move(own);
  }
  next_sequence_ = model->sequence + 1;
  RetireResult result;
  // After the new one counts: what both hold is not freed in between.
  if (is_hold && is_living(id)) result = retire(id);
  if (is_hold) {
    ++num_holds_;
  } else {
    index_.add({id, model->quality, model->sequence, model->fingerprint}, entries);
    parent_of_[id] = model->parent;
  }
  models_[id] = std::move(model);
  return result;
}

void Catalog::free_segment(std::uint64_t owner, std::uint64_t bytes, RetireResult& result) {
  result.dead_segments.push_back(owner);
  bytes_segments_ -= bytes;
}

void Catalog::drop_reference(const LayerRecord& layer, RetireResult& result) {
  const bool is_home = membership_.is_home_of(layer.owner);
  if (const auto found = owners_.find(layer.owner); found != owners_.end()) {
    Owner& owner = found->second;
    const auto use = owner.layers.find(layer.key);
    // The layers of another server's model may be partly in the snapshot.
    if (use != owner.layers.end() || is_home) {
      if (use == owner.layers.end() || use->second.references == 0) unknown_layer(layer);
      if (--use->second.references > 0) return;
      if (is_home) result.bytes_freed += use->second.bytes;
      owner.layers.erase(use);
      if (!owner.layers.empty()) return;
      if (is_home) free_segment(layer.owner, owner.segment_bytes, result);
      owners_.erase(found);
      return;
    }
  }
  const auto place = base_layer(layer.owner, layer.key);
  if (!place || base_references(*place) == 0) unknown_layer(layer);
  const std::uint32_t left = base_references(*place) - 1;
  base_references_[*place] = left;
  if (left > 0 || !is_home) return;
  const auto owner = base_->find_owner(layer.owner);
  result.bytes_freed += base_->section<std::uint64_t>(Section::kLayerBytes)[*place];
  const auto starts = base_->section<std::uint64_t>(Section::kOwnerStarts);
  for (auto other = starts[*owner]; other < starts[*owner + 1]; ++other) {
    if (base_references(static_cast<std::uint32_t>(other)) > 0) return;
  }
  free_segment(layer.owner, base_segment(*owner), result);
  base_segments_[*owner] = 0;
}

RetireResult Catalog::retire(std::uint64_t id) {
  const auto model = find(id);
  if (model == nullptr) contradiction(id, "retires a model that is not there");
  RetireResult result;
  for (const LayerRecord& layer : model->layers) {
    if (layer.has_weights) drop_reference(layer, result);
  }
  bytes_live_ -= result.bytes_freed;
  const bool is_hold = !membership_.is_home_of(id);
  if (is_hold) --num_holds_;
  if (models_.erase(id) > 0) {
    if (!is_hold) index_.remove(id);
  } else {
    const std::uint32_t slot = base_->find_used(id)->model;
    hide(retired_, slot);
    if (!membership_.is_alone()) hide(hidden_, slot);
    ++num_retired_;
  }
  return result;
}

void Catalog::shrink(std::uint64_t owner, std::uint64_t segment_bytes) {
  const std::uint64_t before = this->segment_bytes(owner);
  if (before == 0) return;  // its last layer went meanwhile
  bytes_segments_ += segment_bytes - before;
  if (const auto found = owners_.find(owner); found != owners_.end()) {
    found->second.segment_bytes = segment_bytes;
  } else {
    base_segments_[*base_->find_owner(owner)] = segment_bytes;
  }
}

void Catalog::depart(const Record& record) {
  const std::uint64_t id = record.model_id;
  if (was_used(id)) contradiction(id, "comes a second time");
  parent_of_[id] = record.parent;
  if (record.layers.empty()) return;
  Owner& owner = owners_[id];
  // The models that hold these layers follow in the log and count themselves.
  for (const LayerRecord& layer : record.layers) {
    if (!owner.layers.emplace(layer.key, LayerUse{layer.bytes, 0}).second) {
      contradiction(id, "lists a layer twice");
    }
    ++num_awaited_;
    bytes_live_ += layer.bytes;
  }
  owner.segment_bytes = record.segment_bytes;
  bytes_segments_ += record.segment_bytes;
}

void Catalog::improve(const Query& query, Donor& donor) const {
  if (base_) base_->search(query, membership_.is_alone() ? retired_ : hidden_, donor);
  if (index_.num_models() > 0) index_.search(query, donor);
}

void Catalog::for_each_model(bool with_names,
                             const std::function<void(const Model&)>& visit) const {
  for_each_holder(with_names, [&](const Model& model) {
    if (membership_.is_home_of(model.id)) visit(model);
  });
}

void Catalog::for_each_holder(bool with_names,
                              const std::function<void(const Model&)>& visit) const {
  if (base_) {
    const auto sequences = base_->section<std::uint64_t>(Section::kSequences);
    std::vector<std::pair<std::uint64_t, std::uint32_t>> order;
    for (std::uint32_t slot = 0; slot < base_->num_models(); ++slot) {
      if (!is_retired(slot)) order.emplace_back(sequences[slot], slot);
    }
    std::sort(order.begin(), order.end());
    for (const auto& [sequence, slot] : order) visit(base_->model(slot, with_names));
  }
  std::vector<const Model*> rest;
  rest.reserve(models_.size());
  for (const auto& [id, model] : models_) rest.push_back(model.get());
  std::sort(rest.begin(), rest.end(),
            [](const Model* a, const Model* b) { return a->sequence < b->sequence; });
  for (const Model* model : rest) visit(*model);
}

void Catalog::for_each_layer(
    const std::function<void(std::uint64_t, std::uint64_t, const LayerUse&)>& visit) const {
  if (base_) {
    const auto owners = base_->section<std::uint64_t>(Section::kOwnerIds);
    const auto starts = base_->section<std::uint64_t>(Section::kOwnerStarts);
    const auto terms = base_->section<std::uint32_t>(Section::kLayerTerms);
    const auto keys = base_->section<std::uint64_t>(Section::kTermKeys);
    const auto bytes = base_->section<std::uint64_t>(Section::kLayerBytes);
    for (std::size_t owner = 0; owner < owners.size(); ++owner) {
      for (auto layer = starts[owner]; layer < starts[owner + 1]; ++layer) {
        const auto references = base_references(static_cast<std::uint32_t>(layer));
        if (references > 0) visit(owners[owner], keys[terms[layer]], {bytes[layer], references});
      }
    }
  }
  for (const auto& [id, owner] : owners_) {
    for (const auto& [key, use] : owner.layers) visit(id, key, use);
  }
}

void Catalog::for_each_owner(const std::function<void(std::uint64_t, std::uint64_t)>& visit) const {
  if (base_) {
    const auto owners = base_->section<std::uint64_t>(Section::kOwnerIds);
    for (std::uint32_t owner = 0; owner < owners.size(); ++owner) {
      if (const std::uint64_t bytes = base_segment(owner)) visit(owners[owner], bytes);
    }
  }
  for (const auto& [id, owner] : owners_) {
    if (membership_.is_home_of(id)) visit(id, owner.segment_bytes);
  }
}

void Catalog::for_each_used(
    const std::function<void(std::uint64_t, std::optional<std::uint64_t>, bool)>& visit) const {
  if (base_) {
    const auto ids = base_->section<std::uint64_t>(Section::kUsedIds);
    const auto parents = base_->section<std::uint64_t>(Section::kUsedParents);
    const auto has_parent = base_->section<std::uint8_t>(Section::kUsedHasParent);
    const auto models = base_->section<std::uint32_t>(Section::kUsedModels);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (!membership_.is_home_of(ids[i])) continue;
      visit(ids[i], has_parent[i] != 0 ? std::optional(parents[i]) : std::nullopt,
            models[i] != kNone && !is_retired(models[i]));
    }
  }
  for (const auto& [id, parent] : parent_of_) visit(id, parent, models_.contains(id));
}

}  // namespace parsl_tl
