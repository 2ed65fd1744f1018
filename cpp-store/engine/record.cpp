#include "record.hpp"

#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/api.h>
#include <arrow/util/compression.h>

#include <limits>
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

[[noreturn]] void refuse(const std::string& why) {
  throw StoreException(ErrorCode::kCorrupt, "record: " + why);
}

/// Builds the one-row columns in schema order.
class RowBuilder {
 public:
  template <typename Builder, typename Value>
  void scalar(const Value& value) {
    Builder builder(arrow::default_memory_pool());
    check(builder.Append(value));
    finish(builder);
  }

  void timestamp(std::int64_t ns) {
    arrow::TimestampBuilder builder(arrow::timestamp(arrow::TimeUnit::NANO, "UTC"),
                                    arrow::default_memory_pool());
    check(builder.Append(ns));
    finish(builder);
  }

  template <typename Builder, typename Value>
  void optional(const std::optional<Value>& value) {
    Builder builder(arrow::default_memory_pool());
    check(value ? builder.Append(*value) : builder.AppendNull());
    finish(builder);
  }

  /// A list cell; `append` fills the value builder.
  template <typename Builder, typename Append>
  void list(Append append) {
    auto values = std::make_shared<Builder>(arrow::default_memory_pool());
    arrow::ListBuilder builder(arrow::default_memory_pool(), values);
    check(builder.Append());
    append(*values);
    finish(builder);
  }

  std::shared_ptr<arrow::RecordBatch> batch() {
    return arrow::RecordBatch::Make(record_schema(), 1, std::move(columns_));
  }

 private:
  template <typename Builder>
  void finish(Builder& builder) {
    columns_.push_back(check(builder.Finish()));
  }

  std::vector<std::shared_ptr<arrow::Array>> columns_;
};

/// Typed access to the one row of a batch, with checked types and bounds.
class RowReader {
 public:
  explicit RowReader(const arrow::RecordBatch& batch) : batch_(batch) {}

  template <typename ArrayType>
  const ArrayType& column(const char* name) const {
    const auto array = batch_.GetColumnByName(name);
    if (array == nullptr) refuse(std::string("no column ") + name);
    return dynamic_cast<const ArrayType&>(*array);
  }

  template <typename ArrayType>
  auto optional(const char* name) const {
    const auto& array = column<ArrayType>(name);
    using Value = decltype(array.Value(0));
    return array.IsNull(0) ? std::optional<Value>() : std::optional<Value>(array.Value(0));
  }

  /// The values of a list cell, as a slice of the child array.
  template <typename ArrayType>
  class Cell {
   public:
    Cell(const ArrayType& values, std::int64_t begin, std::int64_t size)
        : values_(values), begin_(begin), size_(size) {}
    std::size_t size() const { return static_cast<std::size_t>(size_); }
    auto operator[](std::size_t i) const {
      if (i >= size()) refuse("a list is shorter than its companions");
      if constexpr (std::is_same_v<ArrayType, arrow::StringArray>) {
        return values_.GetView(begin_ + static_cast<std::int64_t>(i));
      } else {
        return values_.Value(begin_ + static_cast<std::int64_t>(i));
      }
    }

   private:
    const ArrayType& values_;
    std::int64_t begin_;
    std::int64_t size_;
  };

  template <typename ArrayType>
  Cell<ArrayType> list(const char* name) const {
    const auto& lists = column<arrow::ListArray>(name);
    const auto& values = dynamic_cast<const ArrayType&>(*lists.values());
    return {values, lists.value_offset(0), lists.value_length(0)};
  }

 private:
  const arrow::RecordBatch& batch_;
};

template <typename Member>
auto append_layers(const Record& record, Member member) {
  return [&record, member](auto& values) {
    for (const LayerRecord& layer : record.layers) check(values.Append(layer.*member));
  };
}

template <typename Visit>
auto append_tensors(const Record& record, Visit visit) {
  return [&record, visit](auto& values) {
    for (std::size_t i = 0; i < record.layers.size(); ++i) {
      for (const TensorRecord& tensor : record.layers[i].tensors) visit(values, i, tensor);
    }
  };
}

void read_tensors(const RowReader& row, Record& record) {
  const auto layers = row.list<arrow::UInt32Array>("tensor_layers");
  const auto dtypes = row.list<arrow::StringArray>("tensor_dtypes");
  const auto ranks = row.list<arrow::UInt8Array>("tensor_ranks");
  const auto shapes = row.list<arrow::Int64Array>("tensor_shapes");
  const auto offsets = row.list<arrow::UInt64Array>("tensor_offsets");
  const auto sizes = row.list<arrow::UInt64Array>("tensor_sizes");
  const auto checksums = row.list<arrow::UInt64Array>("tensor_checksums");
  std::size_t next_dimension = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (layers[i] >= record.layers.size()) refuse("a tensor names a layer that is not there");
    LayerRecord& layer = record.layers[layers[i]];
    if (layer.owner != record.model_id) refuse("a tensor of a layer that another model owns");
    TensorRecord tensor{std::string(dtypes[i]), {}, offsets[i], sizes[i], checksums[i]};
    if (tensor.offset > std::numeric_limits<std::uint64_t>::max() - tensor.size) {
      refuse("a tensor ends beyond all addresses");
    }
    for (std::uint8_t d = 0; d < ranks[i]; ++d) {
      const std::int64_t dimension = shapes[next_dimension++];
      if (dimension < 0) refuse("a negative dimension");
      tensor.shape.push_back(dimension);
    }
    layer.tensors.push_back(std::move(tensor));
  }
}

Record read_row(const arrow::RecordBatch& batch) {
  const RowReader row(batch);
  Record record;
  const auto operation = row.column<arrow::UInt8Array>("op").Value(0);
  if (operation != 1 && operation != 2) refuse("unknown operation " + std::to_string(operation));
  record.operation = static_cast<Operation>(operation);
  record.model_id = row.column<arrow::UInt64Array>("model_id").Value(0);
  record.created_ns = row.column<arrow::TimestampArray>("created").Value(0);
  record.quality = row.optional<arrow::DoubleArray>("quality").value_or(0.0);
  record.parent = row.optional<arrow::UInt64Array>("parent");
  record.donor = row.optional<arrow::UInt64Array>("donor");
  const auto keys = row.list<arrow::UInt64Array>("layer_keys");
  const auto names = row.list<arrow::StringArray>("layer_names");
  const auto owners = row.list<arrow::UInt64Array>("layer_owners");
  for (std::size_t i = 0; i < keys.size(); ++i) {
    record.layers.push_back({keys[i], std::string(names[i]), owners[i], {}});
  }
  const auto edges = row.list<arrow::UInt32Array>("edges");
  if (edges.size() % 2 != 0) refuse("an odd number of edge ends");
  for (std::size_t i = 0; i < edges.size(); ++i) {
    if (edges[i] >= keys.size()) refuse("an edge names a layer that is not there");
    record.edges.push_back(edges[i]);
  }
  read_tensors(row, record);
  record.architecture = row.column<arrow::BinaryArray>("architecture").GetString(0);
  record.attributes = row.column<arrow::StringArray>("attributes").GetString(0);
  return record;
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
      field("edges", list(uint32()), false),
      field("tensor_layers", list(uint32()), false),
      field("tensor_dtypes", list(utf8()), false),
      field("tensor_ranks", list(uint8()), false),
      field("tensor_shapes", list(int64()), false),
      field("tensor_offsets", list(uint64()), false),
      field("tensor_sizes", list(uint64()), false),
      field("tensor_checksums", list(uint64()), false),
      field("architecture", binary(), false),
      field("attributes", utf8(), false),
  });
  return schema;
}

std::shared_ptr<arrow::Buffer> encode(const Record& record) {
  const bool put = record.operation == Operation::kPut;
  RowBuilder row;
  row.scalar<arrow::UInt8Builder>(static_cast<std::uint8_t>(record.operation));
  row.scalar<arrow::UInt64Builder>(record.model_id);
  row.timestamp(record.created_ns);
  row.optional<arrow::DoubleBuilder>(put ? std::optional(record.quality) : std::nullopt);
  row.optional<arrow::UInt64Builder>(record.parent);
  row.optional<arrow::UInt64Builder>(record.donor);
  row.list<arrow::UInt64Builder>(append_layers(record, &LayerRecord::key));
  row.list<arrow::StringBuilder>(append_layers(record, &LayerRecord::name));
  row.list<arrow::UInt64Builder>(append_layers(record, &LayerRecord::owner));
  row.list<arrow::UInt32Builder>(
      [&](auto& values) { check(values.AppendValues(record.edges)); });
  row.list<arrow::UInt32Builder>(append_tensors(record, [](auto& values, auto layer, auto&) {
    check(values.Append(static_cast<std::uint32_t>(layer)));
  }));
  row.list<arrow::StringBuilder>(append_tensors(
      record, [](auto& values, auto, auto& tensor) { check(values.Append(tensor.dtype)); }));
  row.list<arrow::UInt8Builder>(append_tensors(record, [](auto& values, auto, auto& tensor) {
    check(values.Append(static_cast<std::uint8_t>(tensor.shape.size())));
  }));
  row.list<arrow::Int64Builder>(append_tensors(
      record, [](auto& values, auto, auto& tensor) { check(values.AppendValues(tensor.shape)); }));
  row.list<arrow::UInt64Builder>(append_tensors(
      record, [](auto& values, auto, auto& tensor) { check(values.Append(tensor.offset)); }));
  row.list<arrow::UInt64Builder>(append_tensors(
      record, [](auto& values, auto, auto& tensor) { check(values.Append(tensor.size)); }));
  row.list<arrow::UInt64Builder>(append_tensors(
      record, [](auto& values, auto, auto& tensor) { check(values.Append(tensor.checksum)); }));
  row.scalar<arrow::BinaryBuilder>(std::string_view(record.architecture));
  row.scalar<arrow::StringBuilder>(std::string_view(record.attributes));
  auto options = arrow::ipc::IpcWriteOptions::Defaults();
  // Keras JSON repeats itself: compressed, a record takes about a tenth.
  options.codec = check(arrow::util::Codec::Create(arrow::Compression::ZSTD));
  return check(arrow::ipc::SerializeRecordBatch(*row.batch(), options));
}

Record decode(const std::shared_ptr<arrow::Buffer>& message) {
  arrow::io::BufferReader stream(message);
  const arrow::ipc::DictionaryMemo no_dictionaries;
  const auto batch =
      check(arrow::ipc::ReadRecordBatch(record_schema(), &no_dictionaries,
                                        arrow::ipc::IpcReadOptions::Defaults(), &stream));
  check(batch->ValidateFull());
  if (batch->num_rows() != 1) refuse("expected one row, found " +
                                     std::to_string(batch->num_rows()));
  try {
    return read_row(*batch);
  } catch (const std::bad_cast&) {
    refuse("a column of another type");
  }
}

}  // namespace parsl_tl
