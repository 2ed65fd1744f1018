#include "engine.hpp"

#include <arrow/buffer.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <unordered_set>

#include "clock.hpp"
#include "errors.hpp"
#include "flat_models.hpp"
#include "parallel.hpp"

namespace parsl_tl {
namespace {

constexpr std::size_t kGroup = 1024;  // models that go into one frame of the log

void refuse_if(bool wrong, const std::string& why) {
  if (wrong) throw StoreException(ErrorCode::kInvalidValue, why);
}

/// Writes the request's tensors; a model without any has no segment.
void write_segment(const PutRequest& request, const std::string& folder,
                   const SegmentOptions& options, std::optional<SegmentWriter>& writer) {
  if (request.tensors.empty()) {
    if (request.source == nullptr) return;
    AnnouncedBytes(*request.source, request.model_id, 0).expect_end();
  } else if (request.source != nullptr) {
    writer.emplace(folder, request.model_id, announced_tensors(request), *request.source, options);
  } else {
    writer.emplace(folder, request.model_id, tensors_by_layer(request), options);
  }
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

void Engine::require_home_of(std::uint64_t id) const {
  const Membership here = folder_.membership();
  refuse_if(!here.is_home_of(id), "model " + hex_id(id) + " does not belong on " + here.text() +
                                      "; models are spread by their ids");
}

void Engine::validate(const PutRequest& request) const {
  require_writable();
  require_home_of(request.model_id);
  parsl_tl::validate(request);
}

void Engine::inherit_layers(const PutRequest& request, Record& record, PutResult& result) const {
  std::unordered_set<std::uint32_t> stored;
  for (const TensorArgument& tensor : request.tensors) stored.insert(tensor.layer);
  result.layers_stored = stored.size();
  if (request.inherited) return inherit_named(request, record, result);

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
    refuse_if(!folder_.membership().is_home_of(found->second->owner),
              "model " + hex_id(request.model_id) + " would share layer " + layer.name + " of " +
                  hex_id(found->second->owner) +
                  ", which lives on another server of the store; store it through the servers");
    layer.owner = found->second->owner;
    layer.bytes = found->second->bytes;
    layer.has_weights = true;
    ++result.layers_inherited;
  }
}

RetireResult Engine::append(std::vector<Record> records, Need need) {
  const auto payload = encode(records);
  const LogStamp before = log_->stamp();
  const auto write = [&] { log_->append(*payload, options_.sync); };
  if (need == Need::kFreesSpace) {
    with_reserve(write);
  } else {
    write();
  }
  try {
    std::vector<Catalog::Change> changes;
    std::uint64_t sequence = state_.read()->catalog.next_sequence();
    for (std::uint32_t row = 0; row < records.size(); ++row) {
      const bool is_put = records[row].operation == Operation::kPut;
      changes.push_back(
          Catalog::prepare(std::move(records[row]), {before.position, row}, sequence));
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

/// Layers that have weights as far as is known, and get none with the request.
std::vector<std::uint32_t> Engine::layers_in_need(const PutRequest& request) {
  if (!request.weighted) return {};
  std::unordered_set<std::uint32_t> given;
  for (const TensorArgument& tensor : request.tensors) given.insert(tensor.layer);
  std::vector<std::uint32_t> in_need;
  for (const std::uint32_t layer : request.weighted->certain) {
    if (!given.contains(layer)) in_need.push_back(layer);
  }
  const QueryOptions by_bytes{ScoreBy::kBytes, 0.0, std::nullopt, {}};
  for (const std::uint32_t layer : request.weighted->possible) {
    if (given.contains(layer)) continue;
    const Query query({&request.layer_keys[layer], 1}, {}, by_bytes);
    const Donor donor = ask([&](const Catalog& catalog) { return catalog.best(query); });
    // Equal layers are equal in this, too.
    if (donor.found && donor.score > 0) in_need.push_back(layer);
  }
  return in_need;
}

void Engine::require_weights(const PutRequest& request, const Record& record,
                             std::span<const std::uint32_t> in_need) const {
  const auto lacking = std::find_if(in_need.begin(), in_need.end(), [&](std::uint32_t layer) {
    return !record.layers[layer].has_weights;
  });
  if (lacking == in_need.end()) return;
  const bool is_parent_gone =
      request.parent && !request.donor &&
      (request.parent_is_gone || (folder_.membership().is_home_of(*request.parent) &&
                                  !state_.read()->catalog.is_living(*request.parent)));
  const bool is_bare = std::none_of(record.layers.begin(), record.layers.end(),
                                    [](const LayerRecord& layer) { return layer.has_weights; });
  // Of a line of architectures, no model has weights.
  if (is_bare && !request.donor && !is_parent_gone) return;
  const std::string what = "model " + hex_id(request.model_id) + " lacks the weights of layer " +
                           record.layers[*lacking].name;
  if (is_parent_gone) {
    throw StoreException(ErrorCode::kDonorGone,
                         what + ", and its parent " + hex_id(*request.parent) +
                             " was retired or never stored; store all of its weights");
  }
  throw StoreException(ErrorCode::kInvalidValue,
                       what +
                           ", which no model owns that it shares layers with; give them, or "
                           "name a donor that has them");
}

PutResult Engine::put(const PutRequest& request) {
  require_open();
  validate(request);
  refuse_used(refreshed()->catalog, request.model_id);  // before tensors are written for nothing
  require_space();
  const std::vector<std::uint32_t> in_need = layers_in_need(request);
  Record record = make_record(request, now_ns());
  PutResult result;
  std::optional<SegmentWriter> writer;
  in_folder([&] {
    write_segment(request, folder_.temporary_path(),
                  {folder_.codec(), options_.checksums, options_.sync}, writer);
  });
  for (const TensorArgument& tensor : request.tensors) result.bytes_stored += tensor.size();
  if (writer) record.segment_bytes = writer->file_bytes();
  {
    const Turn turn(*this);
    require_home_of(request.model_id);  // the membership may have changed before the first model
    refuse_used(state_.read()->catalog, request.model_id);
    inherit_layers(request, record, result);
    require_weights(request, record, in_need);
    note_owner_stores(record);
    if (request.may_commit) request.may_commit();
    if (writer) {
      intent_->declare({&request.model_id, 1});
      in_folder([&] { writer->publish(folder_.segment_path(request.model_id)); });
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
    refuse_if(!request.tensors.empty() || request.source != nullptr,
              "models that are put together have no tensors");
  }
  require_space();
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

void Engine::put_architectures(const FlatModels& models) { put_many(requests_of(models)); }

void Engine::put_group(std::span<const PutRequest> requests) {
  std::vector<Record> records;
  for (const PutRequest& request : requests) records.push_back(make_record(request, now_ns()));
  const Turn turn(*this);
  std::unordered_set<std::uint64_t> ids;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    require_home_of(requests[i].model_id);
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
  require_home_of(id);
  return retire_holder(id);
}

std::uint64_t Engine::retire_holder(std::uint64_t id, std::uint64_t attempt) {
  RetireResult result;
  {
    const Turn turn(*this);
    // Should this process die before the last segment is gone, the next writer removes the rest of
    // those that died.
    const auto holder = state_.read()->catalog.get(id);
    if (attempt != 0 && !is_hold_of(*holder, attempt)) return 0;
    const auto owners = owners_of(*holder);
    with_reserve([&] { intent_->declare(owners); });
    Record record;
    record.operation = Operation::kRetire;
    record.model_id = id;
    record.created_ns = now_ns();
    result = append({std::move(record)}, Need::kFreesSpace);
    for (const std::uint64_t owner : result.dead_segments) {
      ::unlink(folder_.segment_path(owner).c_str());
    }
    intent_->clear();
    reserve_->restore();  // if there is space now
  }
  fold_if_due();
  return result.bytes_freed;
}

std::shared_ptr<PinnedModel> Engine::find_donor(const Query& query) {
  for (;;) {
    const Donor donor = ask([&](const Catalog& catalog) { return catalog.best(query); });
    if (!donor.found) return nullptr;
    try {
      return pin(donor.model_id);
    } catch (const StoreException& error) {
      // Retired in between: ask again. Every round means that a model was retired, so this ends.
      if (error.code() != ErrorCode::kNotFound) throw;
    }
  }
}

std::vector<Donor> Engine::find_donors(const std::vector<Query>& queries, unsigned threads) {
  std::vector<Donor> donors(queries.size());
  // In pieces, so that no reader stays in one state for long.
  constexpr std::size_t kPiece = 64;
  parallel_for((queries.size() + kPiece - 1) / kPiece, threads, [&](std::size_t piece) {
    const std::size_t first = piece * kPiece;
    const std::size_t last = std::min(queries.size(), first + kPiece);
    ask([&](const Catalog& catalog) {
      for (std::size_t i = first; i < last; ++i) donors[i] = catalog.best(queries[i]);
    });
  });
  return donors;
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
  return descendants_in(state->catalog.links_below({&id, 1}), id);
}

std::vector<LineageLink> Engine::links_below(std::span<const std::uint64_t> ids) {
  return refreshed()->catalog.links_below(ids);
}

bool Engine::was_used(std::uint64_t id) { return refreshed()->catalog.was_used(id); }

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

std::uint64_t Engine::bytes_live() { return refreshed()->catalog.bytes_live(); }

std::uint64_t Engine::bytes_segments() { return refreshed()->catalog.bytes_segments(); }

}  // namespace parsl_tl
