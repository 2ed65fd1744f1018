#include "record.hpp"

#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/api.h>
#include <arrow/memory_pool.h>
#include <arrow/util/compression.h>
#include <arrow/util/key_value_metadata.h>

#include <charconv>
#include <cmath>
#include <string_view>

#include "errors.hpp"

namespace parsl_tl {
namespace {

void check(const arrow::Status& status) {
  if (!status.ok()) throw StoreException(ErrorCode::kCorrupt, "record: " + status.ToString());
}

template <typename T>
T check(arrow::Result<T> result) {
  check(result.status());
  return std::move(result).ValueUnsafe();
}

constexpr std::size_t kManyRecords = 8;
// How many columns a message has that does not tell, and where one does.
constexpr int kFirstColumns = 16;
constexpr char kColumnsKey[] = "columns";

[[noreturn]] void refuse_record(const std::string& why) {
  throw StoreException(ErrorCode::kCorrupt, "record: " + why);
}

/// Builds the columns in schema order, one value for each record.
class Columns {
 public:
  explicit Columns(std::span<const Record> records) : records_(records) {}

  template <typename Builder, typename Get>
  void scalar(Get get) {
    Builder builder(arrow::default_memory_pool());
    for (const Record& record : records_) check(builder.Append(get(record)));
    finish(builder);
  }

  void timestamp() {
    arrow::TimestampBuilder builder(arrow::timestamp(arrow::TimeUnit::NANO, "UTC"),
                                    arrow::default_memory_pool());
    for (const Record& record : records_) check(builder.Append(record.created_ns));
    finish(builder);
  }

  template <typename Builder, typename Get>
  void optional(Get get) {
    Builder builder(arrow::default_memory_pool());
    for (const Record& record : records_) {
      const auto value = get(record);
      check(value ? builder.Append(*value) : builder.AppendNull());
    }
    finish(builder);
  }

  /// A column of lists; `append(values, record)` adds a record's values.
  template <typename Builder, typename Append>
  void list(Append append) {
    auto values = std::make_shared<Builder>(arrow::default_memory_pool());
    arrow::ListBuilder builder(arrow::default_memory_pool(), values);
    for (const Record& record : records_) {
      check(builder.Append());
      append(*values, record);
    }
    finish(builder);
  }

  template <typename Builder, typename Member>
  void layers(Member member) {
    list<Builder>([member](auto& values, const Record& record) {
      for (const LayerRecord& layer : record.layers) check(values.Append(layer.*member));
    });
  }

  std::shared_ptr<arrow::RecordBatch> batch() {
    return arrow::RecordBatch::Make(record_schema(), static_cast<std::int64_t>(records_.size()),
                                    std::move(columns_));
  }

 private:
  template <typename Builder>
  void finish(Builder& builder) {
    columns_.push_back(check(builder.Finish()));
  }

  std::span<const Record> records_;
  std::vector<std::shared_ptr<arrow::Array>> columns_;
};

/// Arrow allocates what a compressed buffer claims to hold. No input of this length can hold more
/// than the limit: a block of 128 KiB takes four bytes at the least.
constexpr std::int64_t kMostExpansion = 1 << 16;
constexpr std::int64_t kLeastLimit = 1 << 20;

/// A column of the expected type; batches are read with our schema, so the cast cannot fail.
template <typename ArrayType>
const ArrayType& column(const arrow::RecordBatch& batch, const char* name) {
  return dynamic_cast<const ArrayType&>(*batch.GetColumnByName(name));
}

/// Null where the batch is of a release that did not have it.
template <typename ArrayType>
const ArrayType* optional_column(const arrow::RecordBatch& batch, const char* name) {
  return dynamic_cast<const ArrayType*>(batch.GetColumnByName(name).get());
}

/// A column of lists; `size` and `value` count within one row.
template <typename ArrayType>
class Lists {
 public:
  Lists(const arrow::RecordBatch& batch, const char* name)
      : lists_(column<arrow::ListArray>(batch, name)),
        values_(dynamic_cast<const ArrayType&>(*lists_.values())) {}

  std::size_t size(std::int64_t row) const {
    return static_cast<std::size_t>(lists_.value_length(row));
  }
  auto value(std::int64_t row, std::size_t i) const {
    const std::int64_t place = lists_.value_offset(row) + static_cast<std::int64_t>(i);
    if constexpr (std::is_same_v<ArrayType, arrow::StringArray>) {
      return values_.GetView(place);
    } else {
      return values_.Value(place);
    }
  }

 private:
  const arrow::ListArray& lists_;
  const ArrayType& values_;
};

/// Reads the rows of a batch that Arrow has validated.
class RowReader {
 public:
  explicit RowReader(const arrow::RecordBatch& batch)
      : operation_(column<arrow::UInt8Array>(batch, "op")),
        model_id_(column<arrow::UInt64Array>(batch, "model_id")),
        created_(column<arrow::TimestampArray>(batch, "created")),
        quality_(column<arrow::DoubleArray>(batch, "quality")),
        parent_(column<arrow::UInt64Array>(batch, "parent")),
        donor_(column<arrow::UInt64Array>(batch, "donor")),
        keys_(batch, "layer_keys"),
        names_(batch, "layer_names"),
        owners_(batch, "layer_owners"),
        bytes_(batch, "layer_bytes"),
        weights_(batch, "layer_weights"),
        segment_bytes_(column<arrow::UInt64Array>(batch, "segment_bytes")),
        edges_(batch, "edges"),
        architecture_(column<arrow::BinaryArray>(batch, "architecture")),
        attributes_(column<arrow::StringArray>(batch, "attributes")),
        owner_stores_(batch, "owner_stores"),
        fingerprint_(optional_column<arrow::UInt64Array>(batch, "fingerprint")) {}

  Record read(std::int64_t row) const {
    Record record;
    const std::uint8_t operation = operation_.Value(row);
    if (operation < 1 || operation > 4)
      refuse_record("unknown operation " + std::to_string(operation));
    record.operation = static_cast<Operation>(operation);
    record.model_id = model_id_.Value(row);
    record.created_ns = created_.Value(row);
    if (quality_.IsValid(row)) record.quality = quality_.Value(row);
    if (parent_.IsValid(row)) record.parent = parent_.Value(row);
    if (donor_.IsValid(row)) record.donor = donor_.Value(row);
    record.segment_bytes = segment_bytes_.Value(row);
    read_layers(row, record);
    refuse_nonsense(record, quality_.IsValid(row));
    const std::size_t ends = edges_.size(row);
    if (ends % 2 != 0) refuse_record("an odd number of edge ends");
    record.edges.reserve(ends);
    for (std::size_t i = 0; i < ends; ++i) {
      record.edges.push_back(edges_.value(row, i));
      if (record.edges.back() >= record.layers.size()) {
        refuse_record("an edge names a layer that is not there");
      }
    }
    record.architecture = architecture_.GetString(row);
    record.attributes = attributes_.GetString(row);
    for (std::size_t i = 0; i < owner_stores_.size(row); ++i) {
      record.owner_stores.emplace_back(owner_stores_.value(row, i));
    }
    if (fingerprint_ != nullptr) record.fingerprint = fingerprint_->Value(row);
    return record;
  }

 private:
  /// What the catalog, the ranking and the reference counts rely on.
  static void refuse_nonsense(const Record& record, bool has_quality) {
    const bool put = record.operation == Operation::kPut;
    if (put && !has_quality) refuse_record("a model without a quality");
    if (!std::isfinite(record.quality)) refuse_record("a quality that is no finite number");
    for (const LayerRecord& layer : record.layers) {
      const bool own = layer.owner == record.model_id;
      if (!layer.has_weights && (layer.bytes != 0 || !own))
        refuse_record("a layer without tensors has bytes");
      if (!put && !own) refuse_record("a model that is gone holds another's layer");
    }
  }

  void read_layers(std::int64_t row, Record& record) const {
    const std::size_t layers = keys_.size(row);
    if (names_.size(row) != layers || owners_.size(row) != layers || bytes_.size(row) != layers ||
        weights_.size(row) != layers) {
      refuse_record("a list is shorter than its companions");
    }
    record.layers.reserve(layers);
    for (std::size_t i = 0; i < layers; ++i) {
      record.layers.push_back({keys_.value(row, i), std::string(names_.value(row, i)),
                               owners_.value(row, i), bytes_.value(row, i),
                               weights_.value(row, i)});
    }
  }

  const arrow::UInt8Array& operation_;
  const arrow::UInt64Array& model_id_;
  const arrow::TimestampArray& created_;
  const arrow::DoubleArray& quality_;
  const arrow::UInt64Array& parent_;
  const arrow::UInt64Array& donor_;
  Lists<arrow::UInt64Array> keys_;
  Lists<arrow::StringArray> names_;
  Lists<arrow::UInt64Array> owners_;
  Lists<arrow::UInt64Array> bytes_;
  Lists<arrow::BooleanArray> weights_;
  const arrow::UInt64Array& segment_bytes_;
  Lists<arrow::UInt32Array> edges_;
  const arrow::BinaryArray& architecture_;
  const arrow::StringArray& attributes_;
  Lists<arrow::StringArray> owner_stores_;
  const arrow::UInt64Array* fingerprint_;
};

std::shared_ptr<arrow::Buffer> serialize(const arrow::RecordBatch& batch,
                                         const arrow::ipc::IpcWriteOptions& options) {
  const auto columns =
      arrow::key_value_metadata({kColumnsKey}, {std::to_string(batch.num_columns())});
  arrow::ipc::IpcPayload payload;
  check(arrow::ipc::GetRecordBatchPayload(batch, columns, options, &payload));
  const auto out = check(arrow::io::BufferOutputStream::Create());
  std::int32_t head = 0;
  check(arrow::ipc::WriteIpcPayload(payload, options, out.get(), &head));
  return check(out->Finish());
}

int num_columns(const arrow::ipc::Message& message) {
  const auto& metadata = message.custom_metadata();
  if (metadata == nullptr || !metadata->Contains(kColumnsKey)) return kFirstColumns;
  const std::string text = check(metadata->Get(kColumnsKey));
  int columns = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), columns);
  if (error != std::errc() || end != text.data() + text.size() || columns < kFirstColumns) {
    refuse_record("an unknown number of columns, " + text);
  }
  return columns;
}

/// The schema of messages that have so many columns; of a later release's, those known here.
std::shared_ptr<arrow::Schema> schema_of(int columns) {
  static const std::shared_ptr<arrow::Schema> first = [] {
    auto fields = record_schema()->fields();
    fields.resize(kFirstColumns);
    return arrow::schema(std::move(fields));
  }();
  return columns == kFirstColumns ? first : record_schema();
}

/// Arrow leaves it to the reader whether a field that is not nullable has nulls after all.
void refuse_nulls(const arrow::RecordBatch& batch) {
  for (int i = 0; i < batch.num_columns(); ++i) {
    const auto& field = *batch.schema()->field(i);
    if (!field.nullable() && batch.column(i)->null_count() > 0) {
      refuse_record("a null in column " + field.name());
    }
  }
}

}  // namespace

const std::shared_ptr<arrow::Schema>& record_schema() {
  using namespace arrow;  // NOLINT: the schema reads as a table
  static const auto schema = arrow::schema({
      field("op", uint8(), false),
      field("model_id", uint64(), false),
      field("created", timestamp(TimeUnit::NANO, "UTC"), false),
      field("quality", float64()),
      field("parent", uint64()),
      field("donor", uint64()),
      field("layer_keys", list(uint64()), false),
      field("layer_names", list(utf8()), false),
      field("layer_owners", list(uint64()), false),
      field("layer_bytes", list(uint64()), false),
      field("layer_weights", list(boolean()), false),
      field("segment_bytes", uint64(), false),
      field("edges", list(uint32()), false),
      field("architecture", binary(), false),
      field("attributes", utf8(), false),
      field("owner_stores", list(utf8()), false),
      field("fingerprint", uint64(), false),
  });
  return schema;
}

std::shared_ptr<arrow::Buffer> encode(std::span<const Record> records) {
  using Optional = std::optional<std::uint64_t>;
  Columns columns(records);
  columns.scalar<arrow::UInt8Builder>(
      [](const Record& r) { return static_cast<std::uint8_t>(r.operation); });
  columns.scalar<arrow::UInt64Builder>([](const Record& r) { return r.model_id; });
  columns.timestamp();
  columns.optional<arrow::DoubleBuilder>([](const Record& r) {
    return r.operation == Operation::kPut ? std::optional(r.quality) : std::nullopt;
  });
  columns.optional<arrow::UInt64Builder>([](const Record& r) -> Optional { return r.parent; });
  columns.optional<arrow::UInt64Builder>([](const Record& r) -> Optional { return r.donor; });
  columns.layers<arrow::UInt64Builder>(&LayerRecord::key);
  columns.layers<arrow::StringBuilder>(&LayerRecord::name);
  columns.layers<arrow::UInt64Builder>(&LayerRecord::owner);
  columns.layers<arrow::UInt64Builder>(&LayerRecord::bytes);
  columns.layers<arrow::BooleanBuilder>(&LayerRecord::has_weights);
  columns.scalar<arrow::UInt64Builder>([](const Record& r) { return r.segment_bytes; });
  columns.list<arrow::UInt32Builder>(
      [](auto& values, const Record& r) { check(values.AppendValues(r.edges)); });
  columns.scalar<arrow::BinaryBuilder>(
      [](const Record& r) { return std::string_view(r.architecture); });
  columns.scalar<arrow::StringBuilder>(
      [](const Record& r) { return std::string_view(r.attributes); });
  columns.list<arrow::StringBuilder>([](auto& values, const Record& r) {
    for (const std::string& store : r.owner_stores) check(values.Append(store));
  });
  columns.scalar<arrow::UInt64Builder>([](const Record& r) { return r.fingerprint; });
  auto options = arrow::ipc::IpcWriteOptions::Defaults();
  options.use_threads = false;
  // Keras JSON repeats itself: compressed, a record takes about a fifth (a tenth by Zstandard,
  // whose contexts take longer to make than one record takes to store).
  const bool are_many = records.size() >= kManyRecords;
  options.codec = check(arrow::util::Codec::Create(are_many ? arrow::Compression::ZSTD
                                                            : arrow::Compression::LZ4_FRAME));
  return serialize(*columns.batch(), options);
}

std::vector<Record> decode(const std::shared_ptr<arrow::Buffer>& message) {
  arrow::io::BufferReader stream(message);
  const arrow::ipc::DictionaryMemo no_dictionaries;
  auto options = arrow::ipc::IpcReadOptions::Defaults();
  options.use_threads = false;  // many frames are decoded beside each other instead
  arrow::ProxyMemoryPool counted(arrow::default_memory_pool());  // of this message alone
  arrow::CappedMemoryPool pool(&counted, kLeastLimit + message->size() * kMostExpansion);
  options.memory_pool = &pool;
  const auto parts = check(arrow::ipc::ReadMessage(&stream, &pool));
  if (parts == nullptr) refuse_record("an empty message");
  const auto batch = check(arrow::ipc::ReadRecordBatch(*parts, schema_of(num_columns(*parts)),
                                                       &no_dictionaries, options));
  check(batch->ValidateFull());
  if (batch->num_rows() < 1) refuse_record("a batch without rows");
  refuse_nulls(*batch);
  const RowReader reader(*batch);
  std::vector<Record> records;
  records.reserve(static_cast<std::size_t>(batch->num_rows()));
  for (std::int64_t row = 0; row < batch->num_rows(); ++row) records.push_back(reader.read(row));
  return records;
}

}  // namespace parsl_tl
