#include "engine.hpp"

#include <arrow/buffer.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <unordered_set>

#include "errors.hpp"

namespace parsl_tl {
namespace {

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

void refuse_if(bool wrong, const std::string& why) {
  if (wrong) throw StoreException(ErrorCode::kInvalidValue, why);
}

void validate(const PutRequest& request) {
  const std::string who = "model " + hex_id(request.model_id) + ": ";
  refuse_if(!std::isfinite(request.quality),
            who + "quality is " + std::to_string(request.quality) +
                "; it must be a finite number (negative is fine)");
  const std::size_t layers = request.layer_keys.size();
  refuse_if(layers == 0, who + "a model without layers");
  refuse_if(request.layer_names.size() != layers, who + "as many layer names as keys are needed");
  refuse_if(request.edges.size() % 2 != 0, who + "edges are pairs of layers");
  for (const std::uint32_t end : request.edges) {
    refuse_if(end >= layers, who + "an edge names layer " + std::to_string(end) + " of " +
                                 std::to_string(layers));
  }
  std::unordered_set<std::uint64_t> keys(request.layer_keys.begin(), request.layer_keys.end());
  refuse_if(keys.size() != layers, who + "layer keys must differ from each other");
  for (const TensorView& tensor : request.tensors) {
    refuse_if(tensor.layer >= layers, who + "weights for a layer that is not there");
    refuse_if(tensor.shape.size() > 255, who + "a tensor of more than 255 dimensions");
  }
  refuse_if(request.parent == request.model_id, who + "it cannot be its own parent");
  refuse_if(request.donor == request.model_id, who + "it cannot be its own donor");
}

Record make_record(const PutRequest& request) {
  Record record;
  record.model_id = request.model_id;
  record.created_ns = now_ns();
  record.quality = request.quality;
  record.parent = request.parent;
  record.donor = request.donor;
  record.edges = request.edges;
  record.architecture = request.architecture;
  record.attributes = request.attributes;
  for (std::size_t i = 0; i < request.layer_keys.size(); ++i) {
    record.layers.push_back(
        {request.layer_keys[i], request.layer_names[i], request.model_id, {}});
  }
  return record;
}

}  // namespace

Engine::Engine(const std::string& folder, EngineOptions options)
    : options_(options), folder_(folder, !options.read_only), log_(folder_.log_path(), !options.read_only) {
  const WriteLock state(state_mutex_);
  const FileLock lock(folder_.lock_path(), !options_.read_only);
  replay_all_locked();
  if (!options_.read_only) {
    folder_.sweep([this](std::uint64_t owner) {
      const auto found = catalog_.owners().find(owner);
      return found != catalog_.owners().end() && found->second.segment_bytes > 0;
    });
  }
}

void Engine::require_open() const {
  if (closed_) {
    throw StoreException(ErrorCode::kClosed, "the store in " + folder_.path() + " was closed");
  }
}

void Engine::require_writable() const {
  if (options_.read_only) {
    throw StoreException(ErrorCode::kPermission,
                         "the store in " + folder_.path() + " was opened with read_only=True");
  }
}

bool Engine::replay() {
  while (log_.has_more()) {
    const std::uint64_t offset = log_.position();
    const auto payload = log_.next();
    if (payload == nullptr) return false;
    catalog_.apply(decode(payload), offset);
  }
  return true;
}

void Engine::replay_all_locked() {
  if (replay()) return;
  const std::string where = folder_.log_path() + ": " +
                            std::to_string(log_.size() - log_.position()) +
                            " bytes of a record that was never acknowledged";
  if (!options_.read_only) log_.cut_torn_tail();
  const std::lock_guard guard(cache_mutex_);
  warnings_.push_back(where + (options_.read_only ? " were passed over" : " were cut off"));
}

Engine::ReadLock Engine::refreshed() {
  {
    ReadLock state(state_mutex_);
    require_open();
    if (!log_.has_more()) return state;
  }
  {
    const WriteLock state(state_mutex_);
    require_open();
    // Bytes that are no frame belong to a writer at work or to one that died: the lock tells.
    if (!replay() && !options_.read_only) {
      const FileLock lock(folder_.lock_path(), true);
      replay_all_locked();
    }
  }
  return ReadLock(state_mutex_);
}

void Engine::inherit_layers(const PutRequest& request, Record& record, PutResult& result) const {
  std::unordered_set<std::uint32_t> stored;
  for (const TensorView& tensor : request.tensors) stored.insert(tensor.layer);
  result.layers_stored = stored.size();

  const Model* source = nullptr;
  if (request.donor) {
    source = catalog_.find(*request.donor);
    if (source == nullptr) {
      throw StoreException(ErrorCode::kDonorGone,
                           "model " + hex_id(request.model_id) + " cannot inherit from " +
                               hex_id(*request.donor) +
                               ", which was retired or never stored; store all of its weights");
    }
  } else if (request.parent) {
    source = catalog_.find(*request.parent);
  }
  if (source == nullptr) return;
  std::unordered_map<std::uint64_t, std::uint64_t> owner_of;
  for (const LayerShare& share : source->layers) owner_of[share.key] = share.owner;
  for (std::uint32_t i = 0; i < record.layers.size(); ++i) {
    LayerRecord& layer = record.layers[i];
    const auto owner = owner_of.find(layer.key);
    if (stored.contains(i) || owner == owner_of.end()) continue;
    const OwnedLayer* owned = catalog_.find_layer(owner->second, layer.key);
    // A layer without weights is nobody's to share: the model keeps its own.
    if (owned == nullptr || owned->tensors.empty()) continue;
    layer.owner = owner->second;
    ++result.layers_inherited;
  }
}

PutResult Engine::put(const PutRequest& request) {
  validate(request);
  require_writable();
  const auto refuse_used = [&] {
    if (catalog_.was_used(request.model_id)) {
      throw StoreException(ErrorCode::kExists, "model id " + hex_id(request.model_id) +
                                                   " was used before; ids are never reused");
    }
  };
  {
    const ReadLock state = refreshed();
    refuse_used();  // before tensors are written for nothing
  }
  Record record = make_record(request);
  PutResult result;
  std::optional<SegmentWriter> writer;
  if (!request.tensors.empty()) {
    writer.emplace(folder_.segments_path(), request.model_id, request.tensors, record,
                   options_.sync);
    for (const TensorView& tensor : request.tensors) result.bytes_stored += tensor.bytes.size();
  }

  const WriteLock state(state_mutex_);
  require_open();
  const FileLock lock(folder_.lock_path(), true);
  replay_all_locked();
  refuse_used();
  inherit_layers(request, record, result);
  const auto payload = encode(record);
  if (writer) {
    writer->publish(folder_.segment_path(request.model_id));
    if (options_.sync) sync_folder(folder_.segments_path());
  }
  const std::uint64_t offset = log_.position();
  try {
    log_.append(*payload, options_.sync);
  } catch (...) {
    if (writer) writer->withdraw();
    throw;
  }
  catalog_.apply(std::move(record), offset);
  return result;
}

std::uint64_t Engine::retire(std::uint64_t id) {
  require_writable();
  const WriteLock state(state_mutex_);
  require_open();
  const FileLock lock(folder_.lock_path(), true);
  replay_all_locked();
  catalog_.get(id);
  Record record;
  record.operation = Operation::kRetire;
  record.model_id = id;
  record.created_ns = now_ns();
  const std::uint64_t offset = log_.position();
  log_.append(*encode(record), options_.sync);
  const RetireResult result = catalog_.apply(std::move(record), offset);
  // Should this process die before the last of them is gone, the next opening sweeps the rest.
  for (const std::uint64_t owner : result.dead_segments) {
    ::unlink(folder_.segment_path(owner).c_str());
  }
  return result.bytes_freed;
}

std::shared_ptr<Segment> Engine::segment(std::uint64_t owner) {
  const std::lock_guard guard(cache_mutex_);
  auto& cached = segments_[owner];
  auto opened = cached.lock();
  if (opened == nullptr) {
    opened = std::make_shared<Segment>(folder_.segment_path(owner), owner);
    cached = opened;
  }
  return opened;
}

std::shared_ptr<PinnedModel> Engine::pin_living(const Model& model) {
  {
    const std::lock_guard guard(cache_mutex_);
    if (const auto found = pins_.find(model.id); found != pins_.end()) {
      if (auto pinned = found->second.lock()) return pinned;
    }
  }
  auto pinned = std::make_shared<PinnedModel>();
  pinned->id = model.id;
  pinned->quality = model.quality;
  for (const LayerShare& share : model.layers) {
    const OwnedLayer* owned = catalog_.find_layer(share.owner, share.key);
    PinnedModel::Layer layer{share.name, share.key, share.owner, owned->bytes, owned->tensors, {}};
    if (!owned->tensors.empty()) layer.segment = segment(share.owner);
    pinned->layers.push_back(std::move(layer));
  }
  const std::lock_guard guard(cache_mutex_);
  // Entries of models that nobody holds any more are dropped now and then, so the map stays small.
  if (pins_.size() > 1024) std::erase_if(pins_, [](const auto& entry) { return entry.second.expired(); });
  if (segments_.size() > 4096) std::erase_if(segments_, [](const auto& entry) { return entry.second.expired(); });
  pins_[model.id] = pinned;
  return pinned;
}

std::shared_ptr<PinnedModel> Engine::pin(std::uint64_t id) {
  for (int attempt = 0;; ++attempt) {
    const ReadLock state = refreshed();
    const Model* model = catalog_.find(id);
    if (model == nullptr) {
      const std::lock_guard guard(cache_mutex_);
      if (const auto found = pins_.find(id); found != pins_.end()) {
        if (auto pinned = found->second.lock()) return pinned;
      }
      catalog_.get(id);  // throws
    }
    try {
      return pin_living(*model);
    } catch (const StoreException& error) {
      if (error.code() != ErrorCode::kNotFound) throw;
      // Retired by another process between the refresh and the mapping: the next refresh sees it,
      // unless the file was removed by somebody else.
      if (attempt >= 2) {
        throw StoreException(ErrorCode::kCorrupt, "model " + hex_id(id) + ": a segment is missing (" +
                                                      error.what() + "); restore it from a copy");
      }
    }
  }
}

std::shared_ptr<PinnedModel> Engine::best_ancestor(const std::vector<std::uint64_t>& keys,
                                                   const QueryOptions& options) {
  for (;;) {
    std::uint64_t winner = 0;
    {
      const ReadLock state = refreshed();
      const auto best = catalog_.index().best(keys, options);
      if (!best) return nullptr;
      winner = *best;
    }
    try {
      return pin(winner);
    } catch (const StoreException& error) {
      // Retired in between: ask again. Every round means that a model was retired, so this ends.
      if (error.code() != ErrorCode::kNotFound) throw;
    }
  }
}

Model Engine::model(std::uint64_t id) {
  const ReadLock state = refreshed();
  return catalog_.get(id);
}

Record Engine::record(std::uint64_t id) {
  const ReadLock state = refreshed();
  return decode(log_.read_frame(catalog_.get(id).log_offset));
}

std::vector<std::uint64_t> Engine::ancestors(std::uint64_t id) {
  const ReadLock state = refreshed();
  if (!catalog_.was_used(id)) catalog_.get(id);  // throws
  return catalog_.ancestors(id);
}

std::vector<std::uint64_t> Engine::descendants(std::uint64_t id) {
  const ReadLock state = refreshed();
  if (!catalog_.was_used(id)) catalog_.get(id);  // throws
  return catalog_.descendants(id);
}

std::uint64_t Engine::reference_count(std::uint64_t owner, std::uint64_t key) {
  const ReadLock state = refreshed();
  const OwnedLayer* layer = catalog_.find_layer(owner, key);
  return layer == nullptr ? 0 : layer->references;
}

bool Engine::contains(std::uint64_t id) {
  const ReadLock state = refreshed();
  return catalog_.find(id) != nullptr;
}

std::vector<std::string> Engine::take_warnings() {
  const std::lock_guard guard(cache_mutex_);
  return std::exchange(warnings_, {});
}

void Engine::close() {
  const WriteLock state(state_mutex_);
  closed_ = true;
}

}  // namespace parsl_tl
