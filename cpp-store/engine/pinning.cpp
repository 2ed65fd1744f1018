// Pinned models: compositions with their segments mapped.
#include "engine.hpp"
#include "errors.hpp"

namespace parsl_tl {

StoreException missing_segment(std::uint64_t model_id, const StoreException& why) {
  return {ErrorCode::kCorrupt, "model " + hex_id(model_id) + ": a segment is missing (" +
                                   why.what() + "); restore it from a copy"};
}

std::shared_ptr<Segment> Engine::segment(std::uint64_t owner) {
  if (const auto held = segments_.find(owner); held != nullptr && held->was_replaced()) {
    segments_.forget(owner);
  }
  return segments_.find_or_make(owner, [&] {
    return std::make_shared<Segment>(folder_.segment_path(owner), owner, options_.checksums);
  });
}

std::shared_ptr<PinnedModel> Engine::find_pinned(const Catalog& catalog, std::uint64_t id) {
  auto held = recent_pins_.find(id);
  if (held == nullptr) held = pins_.find(id);
  if (held == nullptr) return nullptr;
  // A store that went back to a copy of it may have used the id anew, or not yet.
  const auto created = catalog.created_ns(id);
  if (created ? *created == held->created_ns : catalog.was_used(id)) return held;
  pins_.forget(id);
  recent_pins_.forget(id);
  return nullptr;
}

std::shared_ptr<PinnedModel> Engine::keep_pinned(std::shared_ptr<PinnedModel> pinned) {
  auto first = pins_.keep(pinned->id, pinned);
  // Of before the store went back to a copy: whoever held it pinned it a moment ago.
  if (first->created_ns != pinned->created_ns) return pinned;
  if (first != pinned || folder_.codec() != Codec::kRaw) return first;
  recent_pins_.keep(pinned->id, pinned);
  // Retired since it was looked up? Who retires it from now on will find it there.
  if (!state_.read()->catalog.is_living(pinned->id)) recent_pins_.forget(pinned->id);
  return pinned;
}

void Engine::forget(std::span<const Catalog::Change> changes) {
  for (const Catalog::Change& change : changes) {
    if (change.record.operation == Operation::kPut) {
      if (folder_.membership().is_home_of(change.record.model_id)) continue;
      // A hold, which may take the place of another.
      pins_.forget(change.record.model_id);
    }
    // A segment that was written anew may be part of any of them.
    if (change.record.operation == Operation::kShrink) return recent_pins_.clear();
    recent_pins_.forget(change.record.model_id);
  }
}

std::shared_ptr<PinnedModel> Engine::pin_living(const Model& model) {
  auto pinned = std::make_shared<PinnedModel>();
  pinned->id = model.id;
  pinned->created_ns = model.created_ns;
  pinned->quality = model.quality;
  std::shared_ptr<Segment> last;  // layers of one owner often stand together
  for (const LayerRecord& record : model.layers) {
    PinnedModel::Layer layer{record.name, record.key, record.owner, record.bytes, false, {}, {}};
    layer.is_elsewhere = record.has_weights && !folder_.membership().is_home_of(record.owner);
    if (record.has_weights && !layer.is_elsewhere) {
      if (last == nullptr || last->model_id() != record.owner) last = segment(record.owner);
      layer.segment = last;
      layer.tensors = last->range_of(record.key, record.name);
    }
    pinned->layers.push_back(std::move(layer));
  }
  return keep_pinned(std::move(pinned));
}

std::shared_ptr<PinnedModel> Engine::pin(std::uint64_t id) {
  for (int attempt = 0;; ++attempt) {
    std::shared_ptr<const Model> model;
    {
      const View state = refreshed();
      if (auto pinned = find_pinned(state->catalog, id)) return pinned;
      model = state->catalog.get(id);
    }
    try {
      return pin_living(*model);
    } catch (const StoreException& error) {
      if (error.code() != ErrorCode::kNotFound) throw;
      // Retired by another process between the refresh and the mapping: the next refresh sees it,
      // unless the file was removed by somebody else.
      if (attempt >= 2) throw missing_segment(id, error);
    }
  }
}

}  // namespace parsl_tl
