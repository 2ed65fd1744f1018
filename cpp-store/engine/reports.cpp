// What the engine tells about itself: the table of models, statistics, and the full check.
#include <arrow/api.h>

#include <algorithm>

#include "engine.hpp"
#include "errors.hpp"

namespace parsl_tl {
namespace {

void check_built(const arrow::Status& status) {
  if (!status.ok()) throw StoreException(ErrorCode::kIo, status.ToString());
}

template <typename Builder>
std::shared_ptr<arrow::Array> finish(Builder& builder) {
  std::shared_ptr<arrow::Array> array;
  check_built(builder.Finish(&array));
  return array;
}

void append_optional(arrow::UInt64Builder& builder, const std::optional<std::uint64_t>& value) {
  check_built(value ? builder.Append(*value) : builder.AppendNull());
}

}  // namespace

std::shared_ptr<arrow::RecordBatch> Engine::models() {
  const auto time_type = arrow::timestamp(arrow::TimeUnit::NANO, "UTC");
  arrow::UInt64Builder ids, parents, donors, owned, total, fingerprints;
  arrow::UInt32Builder num_layers;
  arrow::DoubleBuilder quality;
  arrow::TimestampBuilder created(time_type, arrow::default_memory_pool());
  arrow::StringBuilder attributes;
  refreshed()->catalog.for_each_model(false, [&](const Model& model) {
    check_built(ids.Append(model.id));
    append_optional(parents, model.parent);
    append_optional(donors, model.donor);
    check_built(quality.Append(model.quality));
    check_built(num_layers.Append(static_cast<std::uint32_t>(model.layers.size())));
    check_built(owned.Append(model.bytes_owned));
    check_built(total.Append(model.bytes_total));
    check_built(created.Append(model.created_ns));
    check_built(attributes.Append(model.attributes));
    check_built(fingerprints.Append(model.fingerprint));
  });
  const auto schema = arrow::schema(
      {arrow::field("model_id", arrow::uint64(), false), arrow::field("parent", arrow::uint64()),
       arrow::field("donor", arrow::uint64()), arrow::field("quality", arrow::float64(), false),
       arrow::field("num_layers", arrow::uint32(), false),
       arrow::field("bytes_owned", arrow::uint64(), false),
       arrow::field("bytes_total", arrow::uint64(), false),
       arrow::field("created", time_type, false), arrow::field("attributes", arrow::utf8(), false),
       arrow::field("fingerprint", arrow::uint64(), false)});
  const std::int64_t rows = ids.length();
  return arrow::RecordBatch::Make(
      schema, rows,
      {finish(ids), finish(parents), finish(donors), finish(quality), finish(num_layers),
       finish(owned), finish(total), finish(created), finish(attributes), finish(fingerprints)});
}

std::map<std::string, std::uint64_t> Engine::stats() {
  const View state = refreshed();
  const Catalog& catalog = state->catalog;
  std::uint64_t layers = 0;
  std::uint64_t references = 0;
  std::uint64_t segments = 0;
  catalog.for_each_layer([&](std::uint64_t, std::uint64_t, const LayerUse& use) {
    ++layers;
    references += use.references;
  });
  catalog.for_each_owner([&](std::uint64_t, std::uint64_t) { ++segments; });
  const Snapshot* snapshot = catalog.base();
  return {
      {"models", catalog.num_models()},
      {"layers", layers},
      {"layer_references", references},
      {"bytes_live", catalog.bytes_live()},
      {"bytes_segments", catalog.bytes_segments()},
      {"bytes_log", state->position},
      {"segments", segments},
      {"changes_since_snapshot", catalog.num_changes()},
      // Shared by all processes of the node, and private to this one (twice: see left_right.hpp).
      {"bytes_snapshot", snapshot ? snapshot->file_bytes() : 0},
      {"bytes_index_shared", snapshot ? snapshot->index_bytes() : 0},
      {"bytes_index_private", 2 * catalog.index().num_bytes()},
  };
}

void Engine::check_log(VerifyReport& report) {
  std::shared_ptr<const Log> log;
  std::uint64_t position = 0;
  {
    // Not for as long as it takes to read the file: writers wait for who reads a state.
    const View state = refreshed();
    log = state->log;
    position = state->position;
  }
  std::optional<LogDamage> damage = log->check(position);
  // What was passed over at opening, with damaged=True.
  if (!damage && options_.damaged) damage = log->damage_at(position);
  if (damage) report.problems.push_back(damage->text(folder_.log_path()));
}

/// The one in use: a damaged one was passed over at opening, and is made anew from the log.
void Engine::check_snapshot(VerifyReport& report) {
  try {
    const View state = refreshed();
    if (const Snapshot* snapshot = state->catalog.base()) snapshot->verify_index();
  } catch (const StoreException& error) {
    if (error.code() != ErrorCode::kCorrupt) throw;
    report.problems.emplace_back(error.what());
  }
}

VerifyReport Engine::verify() {
  std::vector<std::uint64_t> ids;
  VerifyReport report;
  std::unordered_map<std::uint64_t, std::unordered_map<std::uint64_t, std::uint64_t>> counted;
  {
    const View state = refreshed();
    state->catalog.for_each_holder(false, [&](const Model& model) {
      ids.push_back(model.id);
      for (const LayerRecord& layer : model.layers) {
        if (layer.has_weights) ++counted[layer.owner][layer.key];
      }
    });
    state->catalog.for_each_layer([&](std::uint64_t owner, std::uint64_t key, const LayerUse& use) {
      const std::uint64_t holders = counted[owner][key];
      if (holders == use.references) return;
      report.problems.push_back("model " + hex_id(owner) + ": layer " + hex_id(key) + " has " +
                                std::to_string(use.references) + " references, " +
                                std::to_string(holders) + " models hold it");
    });
  }
  check_log(report);
  check_snapshot(report);
  std::unordered_map<std::uint64_t, std::unordered_set<std::uint64_t>> checked;
  std::uint64_t offset = 0;  // of the frame that was decoded last: models come in its order
  std::vector<Record> frame;
  const std::vector<std::string> stores = texts_of(*folder_.stores());
  std::unordered_set<std::uint64_t> elsewhere;  // of a copy: models whose weights did not come over
  if (follows_) {
    for (const std::uint64_t id : models_lacking_segments()) elsewhere.insert(id);
  }
  for (const std::uint64_t id : ids) {
    if (elsewhere.contains(id)) {
      ++report.models;
      continue;
    }
    try {
      const auto pinned = pin(id);
      for (const auto& layer : pinned->layers) {
        if (layer.segment == nullptr || !checked[layer.owner].insert(layer.key).second) continue;
        for (std::uint32_t i = 0; i < layer.tensors.count; ++i) {
          const std::uint32_t tensor = layer.tensors.first + i;
          layer.segment->check(tensor, layer.name);
          layer.segment->tensor(tensor, layer.name);  // that it can be uncompressed
          ++report.tensors;
          report.bytes += layer.segment->directory()[tensor].size;
        }
      }
      // The record itself: its frame's checksum, and that it decodes.
      const View state = refreshed();
      const RecordPlace place = state->catalog.get(id)->place;
      if (place.offset != offset || frame.size() <= place.row || frame[place.row].model_id != id) {
        offset = place.offset;
        frame = decode(state->log->read_frame(offset));
      }
      if (frame.size() <= place.row || frame[place.row].model_id != id) {
        report.problems.push_back("model " + hex_id(id) + ": its record is not where it was");
        continue;
      }
      for (const std::string& store : frame[place.row].owner_stores) {
        if (std::find(stores.begin(), stores.end(), store) != stores.end()) continue;
        report.problems.push_back("model " + hex_id(id) + " has layers of store " + store +
                                  ", which is not one of " + text_of(*folder_.stores()));
      }
      if (folder_.membership().is_home_of(id)) ++report.models;
    } catch (const StoreException& error) {
      if (error.code() == ErrorCode::kNotFound) continue;  // retired since
      report.problems.emplace_back(error.what());
    }
  }
  return report;
}

}  // namespace parsl_tl
