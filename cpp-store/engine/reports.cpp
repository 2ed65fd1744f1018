// What the engine tells about itself: the table of models, statistics, and the full check.
#include <arrow/api.h>

#include "engine.hpp"
#include "errors.hpp"

namespace parsl_tl {
namespace {

void check(const arrow::Status& status) {
  if (!status.ok()) throw StoreException(ErrorCode::kIo, status.ToString());
}

template <typename Builder>
std::shared_ptr<arrow::Array> finish(Builder& builder) {
  std::shared_ptr<arrow::Array> array;
  check(builder.Finish(&array));
  return array;
}

void append(arrow::UInt64Builder& builder, const std::optional<std::uint64_t>& value) {
  check(value ? builder.Append(*value) : builder.AppendNull());
}

}  // namespace

std::shared_ptr<arrow::RecordBatch> Engine::models() {
  const ReadLock state = refreshed();
  const auto time_type = arrow::timestamp(arrow::TimeUnit::NANO, "UTC");
  arrow::UInt64Builder ids, parents, donors, owned, total;
  arrow::UInt32Builder num_layers;
  arrow::DoubleBuilder quality;
  arrow::TimestampBuilder created(time_type, arrow::default_memory_pool());
  arrow::StringBuilder attributes;
  for (const auto& [sequence, model] : catalog_.by_sequence()) {
    check(ids.Append(model->id));
    append(parents, model->parent);
    append(donors, model->donor);
    check(quality.Append(model->quality));
    check(num_layers.Append(static_cast<std::uint32_t>(model->layers.size())));
    check(owned.Append(model->bytes_owned));
    check(total.Append(model->bytes_total));
    check(created.Append(model->created_ns));
    check(attributes.Append(model->attributes));
  }
  const auto schema = arrow::schema({
      arrow::field("model_id", arrow::uint64(), false), arrow::field("parent", arrow::uint64()),
      arrow::field("donor", arrow::uint64()), arrow::field("quality", arrow::float64(), false),
      arrow::field("num_layers", arrow::uint32(), false),
      arrow::field("bytes_owned", arrow::uint64(), false),
      arrow::field("bytes_total", arrow::uint64(), false),
      arrow::field("created", time_type, false), arrow::field("attributes", arrow::utf8(), false)});
  const auto rows = static_cast<std::int64_t>(catalog_.by_sequence().size());
  return arrow::RecordBatch::Make(
      schema, rows,
      {finish(ids), finish(parents), finish(donors), finish(quality), finish(num_layers),
       finish(owned), finish(total), finish(created), finish(attributes)});
}

std::map<std::string, std::uint64_t> Engine::stats() {
  const ReadLock state = refreshed();
  std::uint64_t layers = 0;
  std::uint64_t references = 0;
  std::uint64_t segments = 0;
  for (const auto& [id, owner] : catalog_.owners()) {
    layers += owner.layers.size();
    segments += owner.segment_bytes > 0 ? 1 : 0;
    for (const auto& [key, layer] : owner.layers) references += layer.references;
  }
  return {
      {"models", catalog_.by_sequence().size()},
      {"layers", layers},
      {"layer_references", references},
      {"bytes_live", catalog_.bytes_live()},
      {"bytes_segments", catalog_.bytes_segments()},
      {"bytes_log", log_.position()},
      {"segments", segments},
      {"index_keys", catalog_.index().num_keys()},
      {"index_postings", catalog_.index().num_postings()},
  };
}

VerifyReport Engine::verify() {
  std::vector<std::uint64_t> ids;
  VerifyReport report;
  std::unordered_map<std::uint64_t, std::unordered_map<std::uint64_t, std::uint64_t>> counted;
  {
    const ReadLock state = refreshed();
    for (const auto& [sequence, model] : catalog_.by_sequence()) {
      ids.push_back(model->id);
      for (const LayerShare& share : model->layers) ++counted[share.owner][share.key];
    }
    for (const auto& [id, owner] : catalog_.owners()) {
      for (const auto& [key, layer] : owner.layers) {
        if (counted[id][key] != layer.references) {
          report.problems.push_back("model " + hex_id(id) + ": layer " + hex_id(key) + " has " +
                                    std::to_string(layer.references) + " references, " +
                                    std::to_string(counted[id][key]) + " models hold it");
        }
      }
    }
  }
  for (const std::uint64_t id : ids) {
    try {
      const auto pinned = pin(id);
      for (const auto& layer : pinned->layers) {
        if (layer.owner != id && contains(layer.owner)) continue;  // counted with its owner
        for (const TensorRecord& tensor : layer.tensors) {
          layer.segment->check(tensor, layer.name);
          ++report.tensors;
          report.bytes += tensor.size;
        }
      }
      // The record itself: its frame's checksum, and that it decodes.
      record(id);
      ++report.models;
    } catch (const StoreException& error) {
      if (error.code() == ErrorCode::kNotFound) continue;  // retired since
      report.problems.emplace_back(error.what());
    }
  }
  return report;
}

}  // namespace parsl_tl
