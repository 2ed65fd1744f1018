// Pinned models: compositions with their segments mapped.
#include <algorithm>

#include "engine.hpp"
#include "errors.hpp"

namespace parsl_tl {
namespace {

// Few enough that what retired models leave in a process that sleeps is little.
constexpr std::size_t kRecentPins = 64;

}  // namespace

std::shared_ptr<Segment> Engine::segment(std::uint64_t owner) {
  {
    const std::lock_guard guard(cache_mutex_);
    if (const auto found = segments_.find(owner); found != segments_.end()) {
      if (auto opened = found->second.lock()) return opened;
    }
  }
  auto opened = std::make_shared<Segment>(folder_.segment_path(owner), owner, options_.checksums);
  const std::lock_guard guard(cache_mutex_);
  auto& cached = segments_[owner];
  if (auto first = cached.lock()) return first;  // another thread was faster
  cached = opened;
  // Entries that nobody holds any more are dropped now and then, so the map stays small.
  if (segments_.size() > 4096) {
    std::erase_if(segments_, [](const auto& entry) { return entry.second.expired(); });
  }
  return opened;
}

std::shared_ptr<PinnedModel> Engine::find_pinned(std::uint64_t id) {
  const std::lock_guard guard(cache_mutex_);
  const auto recent = std::find_if(recent_pins_.begin(), recent_pins_.end(),
                                   [id](const auto& pinned) { return pinned->id == id; });
  if (recent != recent_pins_.end()) {
    std::rotate(recent, recent + 1, recent_pins_.end());
    return recent_pins_.back();
  }
  const auto found = pins_.find(id);
  return found == pins_.end() ? nullptr : found->second.lock();
}

std::shared_ptr<PinnedModel> Engine::keep_pinned(std::shared_ptr<PinnedModel> pinned) {
  std::shared_ptr<PinnedModel> oldest;  // unmapped when nobody has to wait for it
  const std::lock_guard guard(cache_mutex_);
  if (pins_.size() > 1024) {
    std::erase_if(pins_, [](const auto& entry) { return entry.second.expired(); });
  }
  auto& known = pins_[pinned->id];
  if (auto first = known.lock()) return first;
  known = pinned;
  if (folder_.codec() != Codec::kRaw) return pinned;
  // Retired since it was looked up? Who retires it from now on will find it here.
  if (!state_.read()->catalog.is_living(pinned->id)) return pinned;
  if (recent_pins_.size() >= kRecentPins) {
    oldest = std::move(recent_pins_.front());
    recent_pins_.erase(recent_pins_.begin());
  }
  recent_pins_.push_back(pinned);
  return pinned;
}

void Engine::forget(std::span<const Catalog::Change> changes) {
  for (const Catalog::Change& change : changes) {
    if (change.record.operation == Operation::kPut) {
      if (folder_.membership().is_home_of(change.record.model_id)) continue;
      // A hold, which may take the place of another.
      const std::lock_guard guard(cache_mutex_);
      pins_.erase(change.record.model_id);
    }
    // A segment that was written anew may be part of any of them.
    if (change.record.operation == Operation::kShrink) return forget_all();
    std::shared_ptr<PinnedModel> retired;
    const std::lock_guard guard(cache_mutex_);
    const auto found =
        std::find_if(recent_pins_.begin(), recent_pins_.end(),
                     [&](const auto& pinned) { return pinned->id == change.record.model_id; });
    if (found == recent_pins_.end()) continue;
    retired = std::move(*found);
    recent_pins_.erase(found);
  }
}

void Engine::forget_all() {
  std::vector<std::shared_ptr<PinnedModel>> all;
  const std::lock_guard guard(cache_mutex_);
  all.swap(recent_pins_);
}

std::shared_ptr<PinnedModel> Engine::pin_living(const Model& model) {
  auto pinned = std::make_shared<PinnedModel>();
  pinned->id = model.id;
  pinned->quality = model.quality;
  std::shared_ptr<Segment> last;  // layers of one owner often stand together
  for (const LayerRecord& record : model.layers) {
    PinnedModel::Layer layer{record.name, record.key, record.owner, record.bytes, false, {}, {}};
    layer.is_elsewhere = record.has_weights && !folder_.membership().is_home_of(record.owner);
    if (record.has_weights && !layer.is_elsewhere) {
      if (last == nullptr || last->model_id() != record.owner) last = segment(record.owner);
      const auto range = last->find(record.key);
      if (!range) {
        throw StoreException(
            ErrorCode::kNotFound,
            "layer " + record.name + " is not in the segment of " + hex_id(record.owner));
      }
      layer.segment = last;
      layer.tensors = *range;
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
      if (auto pinned = find_pinned(id)) return pinned;
      model = state->catalog.get(id);
    }
    try {
      return pin_living(*model);
    } catch (const StoreException& error) {
      if (error.code() != ErrorCode::kNotFound) throw;
      // Retired by another process between the refresh and the mapping: the next refresh sees it,
      // unless the file was removed by somebody else.
      if (attempt >= 2) {
        throw StoreException(ErrorCode::kCorrupt, "model " + hex_id(id) +
                                                      ": a segment is missing (" + error.what() +
                                                      "); restore it from a copy");
      }
    }
  }
}

}  // namespace parsl_tl
