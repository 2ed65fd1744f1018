// Messages as Arrow: a struct lists its fields once, and its schema, encoding and decoding follow.
//
//   struct RetireReply {
//     std::uint64_t bytes_freed = 0;
//     static void fields(auto& self, auto&& field) { field("bytes_freed", self.bytes_freed); }
//   };
//
// A message is an Arrow IPC record batch of one row, without its schema, which both sides know. No
// field may be null but those that are std::optional.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace parsl_tl {

using Shapes = std::vector<std::vector<std::int64_t>>;

namespace message {

/// What a field of a message can be: overloads for each type of a field.
std::shared_ptr<arrow::ArrayData> to_arrow(const bool& value);
std::shared_ptr<arrow::ArrayData> to_arrow(const std::uint32_t& value);
std::shared_ptr<arrow::ArrayData> to_arrow(const std::uint64_t& value);
std::shared_ptr<arrow::ArrayData> to_arrow(const std::int64_t& value);
std::shared_ptr<arrow::ArrayData> to_arrow(const double& value);
std::shared_ptr<arrow::ArrayData> to_arrow(const std::string& value);
std::shared_ptr<arrow::ArrayData> to_arrow(const std::optional<std::uint64_t>& value);
std::shared_ptr<arrow::ArrayData> to_arrow(const std::optional<double>& value);
std::shared_ptr<arrow::ArrayData> to_arrow(const std::vector<std::uint8_t>& values);
std::shared_ptr<arrow::ArrayData> to_arrow(const std::vector<std::uint32_t>& values);
std::shared_ptr<arrow::ArrayData> to_arrow(const std::vector<std::uint64_t>& values);
std::shared_ptr<arrow::ArrayData> to_arrow(const std::vector<std::int64_t>& values);
std::shared_ptr<arrow::ArrayData> to_arrow(const std::vector<double>& values);
std::shared_ptr<arrow::ArrayData> to_arrow(const std::vector<std::string>& values);
std::shared_ptr<arrow::ArrayData> to_arrow(const Shapes& values);

void from_arrow(const arrow::ArrayData& data, bool& value);
void from_arrow(const arrow::ArrayData& data, std::uint32_t& value);
void from_arrow(const arrow::ArrayData& data, std::uint64_t& value);
void from_arrow(const arrow::ArrayData& data, std::int64_t& value);
void from_arrow(const arrow::ArrayData& data, double& value);
void from_arrow(const arrow::ArrayData& data, std::string& value);
void from_arrow(const arrow::ArrayData& data, std::optional<std::uint64_t>& value);
void from_arrow(const arrow::ArrayData& data, std::optional<double>& value);
void from_arrow(const arrow::ArrayData& data, std::vector<std::uint8_t>& values);
void from_arrow(const arrow::ArrayData& data, std::vector<std::uint32_t>& values);
void from_arrow(const arrow::ArrayData& data, std::vector<std::uint64_t>& values);
void from_arrow(const arrow::ArrayData& data, std::vector<std::int64_t>& values);
void from_arrow(const arrow::ArrayData& data, std::vector<double>& values);
void from_arrow(const arrow::ArrayData& data, std::vector<std::string>& values);
void from_arrow(const arrow::ArrayData& data, Shapes& values);

/// Where Arrow gets no memory. What is read here lies in its message, but for what is compressed: a
/// few bytes that announce a gigabyte are refused.
arrow::MemoryPool* no_memory();

struct Column {
  const char* name;
  bool nullable;
  std::shared_ptr<arrow::ArrayData> data;
};
std::shared_ptr<arrow::Schema> schema_of(const std::vector<Column>& columns);

/// Appends the message to `out`.
void append(const std::shared_ptr<arrow::Schema>& schema, std::vector<Column> columns,
            std::string& out);
/// Parses and validates the batch, whose columns lie in `bytes` or in a copy of them. Throws
/// kInvalidValue for anything that is not one row of this schema and nothing behind it; further
/// columns are passed over.
std::vector<std::shared_ptr<arrow::ArrayData>> parse(const std::shared_ptr<arrow::Schema>& schema,
                                                     std::span<const std::uint8_t> bytes);

template <typename T>
constexpr bool is_optional = false;
template <typename T>
constexpr bool is_optional<std::optional<T>> = true;

template <typename Message>
std::vector<Column> columns_of(const Message& from) {
  std::vector<Column> columns;
  Message::fields(from, [&]<typename T>(const char* name, const T& value) {
    columns.push_back({name, is_optional<T>, to_arrow(value)});
  });
  return columns;
}

template <typename Message>
const std::shared_ptr<arrow::Schema>& schema_of() {
  static const auto schema = schema_of(columns_of(Message{}));
  return schema;
}

}  // namespace message

/// Appends the message, as an Arrow IPC record batch, to `out`.
template <typename Message>
void encode_message(const Message& from, std::string& out) {
  message::append(message::schema_of<Message>(), message::columns_of(from), out);
}

/// Throws kInvalidValue for anything that is not such a message.
template <typename Message>
Message decode_message(std::span<const std::uint8_t> bytes) {
  const auto columns = message::parse(message::schema_of<Message>(), bytes);
  Message made;
  std::size_t next = 0;
  Message::fields(made, [&](const char*, auto& value) {
    message::from_arrow(*columns[next++], value);
  });
  return made;
}

}  // namespace parsl_tl
