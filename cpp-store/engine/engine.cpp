#include "engine.hpp"

#include <arrow/buffer.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <unordered_set>

#include "errors.hpp"
#include "layer_name.hpp"
#include "parallel.hpp"

namespace parsl_tl {
namespace {

constexpr std::size_t kGroup = 1024;  // models that go into one frame of the log

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

void refuse_if(bool wrong, const std::string& why) {
  if (wrong) throw StoreException(ErrorCode::kInvalidValue, why);
}

void validate_layers(const PutRequest& request, const std::string& who) {
  const std::size_t layers = request.layer_keys.size();
  refuse_if(layers == 0, who + "a model without layers");
  refuse_if(request.layer_names.size() != layers, who + "as many layer names as keys are needed");
  std::unordered_set<std::uint64_t> keys;
  for (std::size_t i = 0; i < layers; ++i) {
    const auto name = parse_layer_name(request.layer_names[i]);
    refuse_if(!name || layer_key(name->prefix_hash, name->twin) != request.layer_keys[i],
              who + "layer name " + request.layer_names[i] + " does not fit its key");
    refuse_if(!keys.insert(request.layer_keys[i]).second,
              who + "layer " + request.layer_names[i] + " comes twice");
  }
  refuse_if(request.edges.size() % 2 != 0, who + "edges are pairs of layers");
  for (const std::uint32_t end : request.edges) {
    refuse_if(end >= layers, who + "an edge names layer " + std::to_string(end) + " of " +
                                 std::to_string(layers));
  }
}

void validate_tensors(const PutRequest& request, const std::string& who) {
  for (const TensorArgument& tensor : request.tensors) {
    refuse_if(tensor.layer >= request.layer_keys.size(),
              who + "weights for a layer that is not there");
    refuse_if(tensor.shape.size() > 255, who + "a tensor of more than 255 dimensions");
    for (const std::int64_t dimension : tensor.shape) {
      refuse_if(dimension < 0 || dimension > std::numeric_limits<std::uint32_t>::max(),
                who + "a tensor with a dimension of " + std::to_string(dimension) +
                    "; 0 to 2^32 - 1 can be stored");
    }
    refuse_if(tensor.dtype.size() > 255, who + "a dtype with a name of more than 255 letters");
  }
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
  record.layers.reserve(request.layer_keys.size());
  for (std::size_t i = 0; i < request.layer_keys.size(); ++i) {
    record.layers.push_back(
        {request.layer_keys[i], request.layer_names[i], request.model_id, 0, false});
  }
  for (const TensorArgument& tensor : request.tensors) {
    record.layers[tensor.layer].bytes += tensor.bytes.size();
    record.layers[tensor.layer].has_weights = true;
  }
  return record;
}

std::vector<TensorView> by_layer(const PutRequest& request) {
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

std::vector<std::uint64_t> owners_of(const Model& model) {
  std::vector<std::uint64_t> owners;
  for (const LayerRecord& layer : model.layers) {
    if (layer.has_weights) owners.push_back(layer.owner);
  }
  std::sort(owners.begin(), owners.end());
  owners.erase(std::unique(owners.begin(), owners.end()), owners.end());
  return owners;
}

/// Counts a writer of thousands of models while it is at work.
class BulkWriting {
 public:
  explicit BulkWriting(std::atomic<int>& writers) : writers_(writers) { ++writers_; }
  ~BulkWriting() { --writers_; }
  BulkWriting(const BulkWriting&) = delete;
  BulkWriting& operator=(const BulkWriting&) = delete;

 private:
  std::atomic<int>& writers_;
};

void refuse_used(const Catalog& catalog, std::uint64_t id) {
  if (catalog.was_used(id)) {
    throw StoreException(ErrorCode::kExists,
                         "model id " + hex_id(id) + " was used before; ids are never reused");
  }
}

}  // namespace

void Engine::validate(const PutRequest& request) const {
  require_writable();
  const std::string who = "model " + hex_id(request.model_id) + ": ";
  refuse_if(!std::isfinite(request.quality),
            who + "quality is " + std::to_string(request.quality) +
                "; it must be a finite number (negative is fine)");
  refuse_if(request.parent == request.model_id, who + "it cannot be its own parent");
  refuse_if(request.donor == request.model_id, who + "it cannot be its own donor");
  validate_layers(request, who);
  validate_tensors(request, who);
}

void Engine::inherit_layers(const PutRequest& request, Record& record, PutResult& result) const {
  std::unordered_set<std::uint32_t> stored;
  for (const TensorArgument& tensor : request.tensors) stored.insert(tensor.layer);
  result.layers_stored = stored.size();

  const View state = state_.read();
  std::shared_ptr<const Model> source;
  if (request.donor) {
    source = state->catalog.find(*request.donor);
    if (source == nullptr) {
      throw StoreException(ErrorCode::kDonorGone,
                           "model " + hex_id(request.model_id) + " cannot inherit from " +
                               hex_id(*request.donor) +
                               ", which was retired or never stored; store all of its weights");
    }
  } else if (request.parent) {
    source = state->catalog.find(*request.parent);
  }
  if (source == nullptr) return;
  std::unordered_map<std::uint64_t, const LayerRecord*> shared;
  for (const LayerRecord& layer : source->layers) shared[layer.key] = &layer;
  for (std::uint32_t i = 0; i < record.layers.size(); ++i) {
    LayerRecord& layer = record.layers[i];
    const auto found = shared.find(layer.key);
    // A layer without weights is nobody's to share: the model keeps its own.
    if (stored.contains(i) || found == shared.end() || !found->second->has_weights) continue;
    layer.owner = found->second->owner;
    layer.bytes = found->second->bytes;
    layer.has_weights = true;
    ++result.layers_inherited;
  }
}

RetireResult Engine::append(std::vector<Record> records) {
  const auto payload = encode(records);
  const LogStamp before = log_->stamp();
  log_->append(*payload, options_.sync);
  try {
    std::vector<Catalog::Change> changes;
    std::uint64_t sequence = state_.read()->catalog.next_sequence();
    for (std::uint32_t row = 0; row < records.size(); ++row) {
      const bool is_put = records[row].operation == Operation::kPut;
      changes.push_back(Catalog::prepare(std::move(records[row]), {before.position, row}, sequence));
      if (is_put) ++sequence;
    }
    RetireResult result = state_.update([&](State& state) {
      RetireResult last;
      for (const Catalog::Change& change : changes) last = state.catalog.apply(change);
      state.position = log_->position();
      return last;
    });
    forget(changes);
    return result;
  } catch (...) {
    log_->seek(before);  // it is stored; the next look at the log takes it in
    throw;
  }
}

PutResult Engine::put(const PutRequest& request) {
  require_open();
  validate(request);
  refuse_used(refreshed()->catalog, request.model_id);  // before tensors are written for nothing
  Record record = make_record(request);
  PutResult result;
  std::optional<SegmentWriter> writer;
  if (!request.tensors.empty()) {
    writer.emplace(folder_.temporary_path(), request.model_id, by_layer(request),
                   SegmentOptions{folder_.codec(), options_.checksums, options_.sync});
    for (const TensorArgument& tensor : request.tensors) result.bytes_stored += tensor.bytes.size();
    record.segment_bytes = writer->file_bytes();
  }
  {
    const Turn turn(*this);
    refuse_used(state_.read()->catalog, request.model_id);
    inherit_layers(request, record, result);
    if (writer) {
      intent_->declare({&request.model_id, 1});
      writer->publish(folder_.segment_path(request.model_id));
      if (options_.sync) sync_folder(folder_.segments_path());
    }
    try {
      append({std::move(record)});
    } catch (...) {
      if (writer && !state_.read()->catalog.was_used(request.model_id)) writer->withdraw();
      throw;
    }
    if (writer) intent_->clear();
  }
  fold_if_due();
  return result;
}

void Engine::put_many(const std::vector<PutRequest>& requests) {
  require_open();
  for (const PutRequest& request : requests) {
    validate(request);
    refuse_if(!request.tensors.empty(), "models that are put together have no tensors");
  }
  {
    const BulkWriting bulk(bulk_writers_);
    for (std::size_t first = 0; first < requests.size(); first += kGroup) {
      const std::size_t size = std::min(requests.size() - first, kGroup);
      try {
        put_group(std::span(requests).subspan(first, size));
        fold_if_due();
      } catch (const StoreException& error) {
        if (first == 0) throw;
        throw StoreException(error.code(), std::string(error.what()) + " (the first " +
                                               std::to_string(first) + " models were stored)");
      }
    }
  }
  fold_if_due();
}

void Engine::put_group(std::span<const PutRequest> requests) {
  std::vector<Record> records;
  for (const PutRequest& request : requests) records.push_back(make_record(request));
  const Turn turn(*this);
  std::unordered_set<std::uint64_t> ids;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    refuse_used(state_.read()->catalog, requests[i].model_id);
    refuse_if(!ids.insert(requests[i].model_id).second,
              "model id " + hex_id(requests[i].model_id) + " is given twice");
    PutResult ignored;
    inherit_layers(requests[i], records[i], ignored);
  }
  append(std::move(records));
}

std::uint64_t Engine::retire(std::uint64_t id) {
  require_open();
  require_writable();
  RetireResult result;
  {
    const Turn turn(*this);
    // Should this process die before the last segment is gone, the next writer removes the rest of
    // those that died.
    intent_->declare(owners_of(*state_.read()->catalog.get(id)));
    Record record;
    record.operation = Operation::kRetire;
    record.model_id = id;
    record.created_ns = now_ns();
    result = append({std::move(record)});
    for (const std::uint64_t owner : result.dead_segments) {
      ::unlink(folder_.segment_path(owner).c_str());
    }
    intent_->clear();
  }
  fold_if_due();
  return result.bytes_freed;
}

template <typename Question>
auto Engine::ask(Question question) {
  try {
    return question(refreshed()->catalog);
  } catch (const StoreException& error) {
    // The index of a snapshot is verified by the first question that needs it.
    if (error.code() != ErrorCode::kCorrupt) throw;
    leave_snapshot(error.what());
  }
  return question(refreshed()->catalog);
}

std::shared_ptr<PinnedModel> Engine::best_ancestor(const Query& query) {
  for (;;) {
    const Winner winner = ask([&](const Catalog& catalog) { return catalog.best(query); });
    if (!winner.found) return nullptr;
    try {
      return pin(winner.model_id);
    } catch (const StoreException& error) {
      // Retired in between: ask again. Every round means that a model was retired, so this ends.
      if (error.code() != ErrorCode::kNotFound) throw;
    }
  }
}

std::vector<Winner> Engine::best_ancestors(const std::vector<Query>& queries, unsigned threads) {
  std::vector<Winner> winners(queries.size());
  // In pieces, so that no reader stays in one state for long.
  constexpr std::size_t kPiece = 64;
  parallel_for((queries.size() + kPiece - 1) / kPiece, threads, [&](std::size_t piece) {
    const std::size_t first = piece * kPiece;
    const std::size_t last = std::min(queries.size(), first + kPiece);
    ask([&](const Catalog& catalog) {
      for (std::size_t i = first; i < last; ++i) winners[i] = catalog.best(queries[i]);
    });
  });
  return winners;
}

Model Engine::model(std::uint64_t id) { return *refreshed()->catalog.get(id); }

Record Engine::record(std::uint64_t id) {
  const View state = refreshed();
  const RecordPlace place = state->catalog.get(id)->place;
  std::vector<Record> records = decode(state->log->read_frame(place.offset));
  if (place.row >= records.size() || records[place.row].model_id != id) {
    throw StoreException(ErrorCode::kCorrupt, "model " + hex_id(id) +
                                                  ": its record is not where it was; remove " +
                                                  folder_.snapshot_path());
  }
  return std::move(records[place.row]);
}

std::vector<std::uint64_t> Engine::ancestors(std::uint64_t id) {
  const View state = refreshed();
  if (!state->catalog.was_used(id)) state->catalog.get(id);  // throws
  return state->catalog.ancestors(id);
}

std::vector<std::uint64_t> Engine::descendants(std::uint64_t id) {
  const View state = refreshed();
  if (!state->catalog.was_used(id)) state->catalog.get(id);  // throws
  return state->catalog.descendants(id);
}

std::uint64_t Engine::reference_count(std::uint64_t owner, std::uint64_t key) {
  const View state = refreshed();
  if (const auto use = state->catalog.find_layer(owner, key)) return use->references;
  // A layer without tensors is its model's alone.
  const auto model = state->catalog.find(owner);
  if (model == nullptr) return 0;
  return std::count_if(model->layers.begin(), model->layers.end(), [&](const LayerRecord& layer) {
    return layer.key == key && layer.owner == owner;
  });
}

bool Engine::contains(std::uint64_t id) { return refreshed()->catalog.contains(id); }

std::uint64_t Engine::num_models() { return refreshed()->catalog.num_models(); }

}  // namespace parsl_tl
