#include "message.hpp"

#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/api.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "errors.hpp"

namespace parsl_tl::message {
namespace {

using arrow::ArrayData;
using arrow::Buffer;

constexpr std::int32_t kMostElements = 0x7FFFFFFF;

[[noreturn]] void refuse(const std::string& why) {
  throw StoreException(ErrorCode::kInvalidValue, "malformed message: " + why);
}

void check(const arrow::Status& status) {
  if (!status.ok()) refuse(status.message());
}

template <typename T>
T check(arrow::Result<T> result) {
  check(result.status());
  return std::move(result).ValueUnsafe();
}

/// The caller's memory, alive until the message is written.
template <typename T>
std::shared_ptr<Buffer> over(const T* data, std::size_t count) {
  return std::make_shared<Buffer>(reinterpret_cast<const std::uint8_t*>(data),
                                  static_cast<std::int64_t>(count * sizeof(T)));
}

template <typename T>
std::shared_ptr<Buffer> holding(std::vector<T> values) {
  return Buffer::FromVector(std::move(values));
}

/// Offsets of lists, which Arrow counts in 31 bits.
std::int32_t offset(std::size_t count) {
  if (count > static_cast<std::size_t>(kMostElements)) refuse("a list of more than 2^31 elements");
  return static_cast<std::int32_t>(count);
}

std::shared_ptr<Buffer> one_list(std::size_t count) {
  return holding(std::vector<std::int32_t>{0, offset(count)});
}

template <typename T>
std::shared_ptr<ArrayData> flat(const std::shared_ptr<arrow::DataType>& type, const T* values,
                                std::size_t count) {
  return ArrayData::Make(type, static_cast<std::int64_t>(count), {nullptr, over(values, count)}, 0);
}

template <typename T>
std::shared_ptr<ArrayData> list_of(const std::shared_ptr<arrow::DataType>& type,
                                   const std::vector<T>& values) {
  return ArrayData::Make(arrow::list(type), 1, {nullptr, one_list(values.size())},
                         {flat(type, values.data(), values.size())}, 0);
}

template <typename T>
std::shared_ptr<ArrayData> nullable(const std::shared_ptr<arrow::DataType>& type,
                                    const std::optional<T>& value) {
  const auto bits = holding(std::vector<std::uint8_t>{static_cast<std::uint8_t>(value ? 1 : 0)});
  return ArrayData::Make(type, 1, {value ? nullptr : bits, holding(std::vector<T>{value.value_or(T{})})},
                         value ? 0 : 1);
}

/// Values of a validated array, from its offset on.
template <typename T>
std::span<const T> values_of(const ArrayData& data) {
  if (data.length == 0) return {};
  return {data.GetValues<T>(1), static_cast<std::size_t>(data.length)};
}

struct Range {
  std::int32_t begin;
  std::int32_t end;
};

Range list_range(const ArrayData& data, std::int64_t row) {
  const auto* offsets = data.GetValues<std::int32_t>(1);
  return {offsets[row], offsets[row + 1]};
}

template <typename T>
void copy_list(const ArrayData& lists, std::int64_t row, std::vector<T>& out) {
  const auto [begin, end] = list_range(lists, row);
  if (begin == end) return out.clear();
  const T* values = lists.child_data[0]->GetValues<T>(1);
  out.assign(values + begin, values + end);
}

std::string text_at(const ArrayData& texts, std::int64_t row) {
  const auto [begin, end] = list_range(texts, row);
  if (begin == end) return {};
  return {reinterpret_cast<const char*>(texts.buffers[2]->data()) + begin,
          static_cast<std::size_t>(end - begin)};
}

/// Nulls in a field that has none by its schema, lists' elements included.
bool has_nulls(const ArrayData& data) {
  if (data.GetNullCount() > 0) return true;
  for (const auto& child : data.child_data) {
    if (child->GetNullCount() > 0) return true;
    for (const auto& grandchild : child->child_data) {
      if (grandchild->GetNullCount() > 0) return true;
    }
  }
  return false;
}

/// Whether the message says of all its buffers that they lie where numbers can be read.
bool is_aligned(const ArrayData& data) {
  for (const auto& buffer : data.buffers) {
    if (buffer && buffer->size() > 0 && buffer->address() % 8 != 0) return false;
  }
  return std::all_of(data.child_data.begin(), data.child_data.end(),
                     [](const auto& child) { return is_aligned(*child); });
}

/// Arrow reads numbers where they lie, so they have to lie at multiples of 8.
std::shared_ptr<Buffer> aligned(std::span<const std::uint8_t> bytes) {
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % 8 == 0) {
    return over(bytes.data(), bytes.size());
  }
  return holding(std::vector<std::uint8_t>(bytes.begin(), bytes.end()));
}

}  // namespace

std::shared_ptr<ArrayData> to_arrow(const bool& value) {
  const std::vector<std::uint8_t> bits{static_cast<std::uint8_t>(value ? 1 : 0)};
  return ArrayData::Make(arrow::boolean(), 1, {nullptr, holding(bits)}, 0);
}
std::shared_ptr<ArrayData> to_arrow(const std::uint32_t& value) {
  return flat(arrow::uint32(), &value, 1);
}
std::shared_ptr<ArrayData> to_arrow(const std::uint64_t& value) {
  return flat(arrow::uint64(), &value, 1);
}
std::shared_ptr<ArrayData> to_arrow(const std::int64_t& value) {
  return flat(arrow::int64(), &value, 1);
}
std::shared_ptr<ArrayData> to_arrow(const double& value) {
  return flat(arrow::float64(), &value, 1);
}
std::shared_ptr<ArrayData> to_arrow(const std::string& value) {
  return ArrayData::Make(arrow::binary(), 1,
                         {nullptr, one_list(value.size()), over(value.data(), value.size())}, 0);
}
std::shared_ptr<ArrayData> to_arrow(const std::optional<std::uint64_t>& value) {
  return nullable(arrow::uint64(), value);
}
std::shared_ptr<ArrayData> to_arrow(const std::optional<double>& value) {
  return nullable(arrow::float64(), value);
}
std::shared_ptr<ArrayData> to_arrow(const std::vector<std::uint8_t>& values) {
  return list_of(arrow::uint8(), values);
}
std::shared_ptr<ArrayData> to_arrow(const std::vector<std::uint32_t>& values) {
  return list_of(arrow::uint32(), values);
}
std::shared_ptr<ArrayData> to_arrow(const std::vector<std::uint64_t>& values) {
  return list_of(arrow::uint64(), values);
}
std::shared_ptr<ArrayData> to_arrow(const std::vector<std::int64_t>& values) {
  return list_of(arrow::int64(), values);
}
std::shared_ptr<ArrayData> to_arrow(const std::vector<double>& values) {
  return list_of(arrow::float64(), values);
}

std::shared_ptr<ArrayData> to_arrow(const std::vector<std::string>& values) {
  std::vector<std::int32_t> offsets{0};
  std::string texts;
  for (const std::string& value : values) {
    texts += value;
    offsets.push_back(offset(texts.size()));
  }
  const auto strings = ArrayData::Make(
      arrow::binary(), static_cast<std::int64_t>(values.size()),
      {nullptr, holding(std::move(offsets)), Buffer::FromString(std::move(texts))}, 0);
  return ArrayData::Make(arrow::list(arrow::binary()), 1, {nullptr, one_list(values.size())},
                         {strings}, 0);
}

std::shared_ptr<ArrayData> to_arrow(const Shapes& values) {
  std::vector<std::int32_t> offsets{0};
  std::vector<std::int64_t> flat_values;
  for (const auto& value : values) {
    flat_values.insert(flat_values.end(), value.begin(), value.end());
    offsets.push_back(offset(flat_values.size()));
  }
  const auto count = static_cast<std::int64_t>(flat_values.size());
  const auto numbers =
      ArrayData::Make(arrow::int64(), count, {nullptr, holding(std::move(flat_values))}, 0);
  const auto lists = ArrayData::Make(arrow::list(arrow::int64()),
                                     static_cast<std::int64_t>(values.size()),
                                     {nullptr, holding(std::move(offsets))}, {numbers}, 0);
  return ArrayData::Make(arrow::list(arrow::list(arrow::int64())), 1,
                         {nullptr, one_list(values.size())}, {lists}, 0);
}

void from_arrow(const ArrayData& data, bool& value) {
  value = ((data.buffers[1]->data()[data.offset / 8] >> (data.offset % 8)) & 1) != 0;
}
void from_arrow(const ArrayData& data, std::uint32_t& value) {
  value = values_of<std::uint32_t>(data)[0];
}
void from_arrow(const ArrayData& data, std::uint64_t& value) {
  value = values_of<std::uint64_t>(data)[0];
}
void from_arrow(const ArrayData& data, std::int64_t& value) {
  value = values_of<std::int64_t>(data)[0];
}
void from_arrow(const ArrayData& data, double& value) { value = values_of<double>(data)[0]; }
void from_arrow(const ArrayData& data, std::string& value) { value = text_at(data, 0); }
void from_arrow(const ArrayData& data, std::optional<std::uint64_t>& value) {
  value.reset();
  if (data.GetNullCount() == 0) value = values_of<std::uint64_t>(data)[0];
}
void from_arrow(const ArrayData& data, std::optional<double>& value) {
  value.reset();
  if (data.GetNullCount() == 0) value = values_of<double>(data)[0];
}
void from_arrow(const ArrayData& data, std::vector<std::uint8_t>& values) {
  copy_list(data, 0, values);
}
void from_arrow(const ArrayData& data, std::vector<std::uint32_t>& values) {
  copy_list(data, 0, values);
}
void from_arrow(const ArrayData& data, std::vector<std::uint64_t>& values) {
  copy_list(data, 0, values);
}
void from_arrow(const ArrayData& data, std::vector<std::int64_t>& values) {
  copy_list(data, 0, values);
}
void from_arrow(const ArrayData& data, std::vector<double>& values) { copy_list(data, 0, values); }

void from_arrow(const ArrayData& data, std::vector<std::string>& values) {
  const auto [begin, end] = list_range(data, 0);
  values.clear();
  values.reserve(static_cast<std::size_t>(end - begin));
  for (std::int32_t i = begin; i < end; ++i) values.push_back(text_at(*data.child_data[0], i));
}

void from_arrow(const ArrayData& data, Shapes& values) {
  const auto [begin, end] = list_range(data, 0);
  values.assign(static_cast<std::size_t>(end - begin), {});
  for (std::int32_t i = begin; i < end; ++i) {
    copy_list(*data.child_data[0], i, values[static_cast<std::size_t>(i - begin)]);
  }
}

arrow::MemoryPool* no_memory() {
  static arrow::ProxyMemoryPool counted(arrow::default_memory_pool());
  static arrow::CappedMemoryPool none(&counted, 0);
  return &none;
}

std::shared_ptr<arrow::Schema> schema_of(const std::vector<Column>& columns) {
  std::vector<std::shared_ptr<arrow::Field>> fields;
  for (const Column& column : columns) {
    fields.push_back(arrow::field(column.name, column.data->type, column.nullable));
  }
  return arrow::schema(std::move(fields));
}

void append(const std::shared_ptr<arrow::Schema>& schema, std::vector<Column> columns,
            std::string& out) {
  std::vector<std::shared_ptr<ArrayData>> data;
  data.reserve(columns.size());
  for (Column& column : columns) data.push_back(std::move(column.data));
  const auto batch = arrow::RecordBatch::Make(schema, 1, std::move(data));
  static const auto options = [] {
    auto made = arrow::ipc::IpcWriteOptions::Defaults();
    made.use_threads = false;
    return made;
  }();
  const auto written = check(arrow::ipc::SerializeRecordBatch(*batch, options));
  out.append(reinterpret_cast<const char*>(written->data()), static_cast<std::size_t>(written->size()));
}

std::vector<std::shared_ptr<ArrayData>> parse(const std::shared_ptr<arrow::Schema>& schema,
                                              std::span<const std::uint8_t> bytes) {
  arrow::io::BufferReader stream(aligned(bytes));
  const arrow::ipc::DictionaryMemo no_dictionaries;
  auto options = arrow::ipc::IpcReadOptions::Defaults();
  options.use_threads = false;
  options.memory_pool = no_memory();
  const auto batch = check(arrow::ipc::ReadRecordBatch(schema, &no_dictionaries, options, &stream));
  for (const auto& column : batch->column_data()) {
    if (!is_aligned(*column)) refuse("numbers that lie askew");
  }
  check(batch->ValidateFull());
  const std::int64_t read = check(stream.Tell());
  if (read != static_cast<std::int64_t>(bytes.size())) refuse("something follows it");
  if (batch->num_rows() != 1) refuse(std::to_string(batch->num_rows()) + " rows instead of one");
  std::vector<std::shared_ptr<ArrayData>> columns;
  for (int i = 0; i < batch->num_columns(); ++i) {
    columns.push_back(batch->column_data(i));
    if (!schema->field(i)->nullable() && has_nulls(*columns.back())) {
      refuse("a null in field " + schema->field(i)->name());
    }
  }
  return columns;
}

}  // namespace parsl_tl::message
