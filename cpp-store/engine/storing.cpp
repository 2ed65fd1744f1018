// How models are stored.
#include <algorithm>
#include <unordered_set>

#include "bulk_writing.hpp"
#include "clock.hpp"
#include "engine.hpp"
#include "errors.hpp"
#include "flat_models.hpp"

namespace parsl_tl {
namespace {

constexpr std::size_t kFrameModels = 1024;  // models that go into one frame of the log

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

/// Layers that have weights as far as is known, and get none with the request.
std::vector<std::uint32_t> Engine::layers_in_need(const PutRequest& request) {
  if (!request.weighted) return {};
  std::unordered_set<std::uint32_t> given;
  for (const TensorArgument& tensor : request.tensors) given.insert(tensor.layer);
  std::vector<std::uint32_t> in_need;
  for (const std::uint32_t layer : request.weighted->certain) {
    if (!given.contains(layer)) in_need.push_back(layer);
  }
  const QueryOptions by_bytes{ScoreBy::kBytes, 0.0, std::nullopt, {}, {}};
  std::vector<std::uint32_t> unsure;
  std::vector<Query> queries;
  for (const std::uint32_t layer : request.weighted->possible) {
    if (given.contains(layer)) continue;
    unsure.push_back(layer);
    queries.emplace_back(std::span(&request.layer_keys[layer], 1), std::span<const double>(),
                         by_bytes);
  }
  const std::vector<Donor> donors = find_donors(queries, 1);
  for (std::size_t i = 0; i < donors.size(); ++i) {
    // Equal layers are equal in this, too.
    if (donors[i].found && donors[i].score > 0) in_need.push_back(unsure[i]);
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
    for (std::size_t first = 0; first < requests.size(); first += kFrameModels) {
      const std::size_t size = std::min(requests.size() - first, kFrameModels);
      try {
        put_group(std::span(requests).subspan(first, size));
        fold_if_due();
        fold_long_delta();
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

}  // namespace parsl_tl
