// Messages: a struct lists its fields once, and its encoding and decoding follow.
//
//   struct RetireReply {
//     std::uint64_t bytes_freed = 0;
//     static void fields(auto& self, auto&& field) { field("bytes_freed", self.bytes_freed); }
//   };
//
// A message is its fields in this order, little-endian, with nothing between or behind them:
//
//   bool, optional    u8: 0 or 1; an optional's value follows a 1
//   message           its fields
//   number            u32, u64, i64 or f64, as it is
//   string            length (u32) | bytes
//   list of numbers   count (u32) | numbers
//   list of strings   count (u32) | length of each (u32) | bytes of all
//   list of shapes    count (u32) | length of each (u32) | numbers of all (i64)
//
// Both sides know the fields: a message of other fields is one of another version of the protocol.
// Tables travel as Arrow IPC in a string. Messages themselves are not Arrow: of a query that the
// index answers in some microseconds, Arrow's validation of a dozen columns of one row was most.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "errors.hpp"

namespace parsl_tl {

using Shapes = std::vector<std::vector<std::int64_t>>;

namespace message {

static_assert(std::endian::native == std::endian::little, "messages are little-endian");

template <typename T>
constexpr bool is_optional = false;
template <typename T>
constexpr bool is_optional<std::optional<T>> = true;
template <typename T>
constexpr bool is_list = false;
template <typename T>
constexpr bool is_list<std::vector<T>> = true;
/// Whether it lists its fields.
template <typename T>
concept IsMessage = requires(T& message) { T::fields(message, [](const char*, auto&&) {}); };
template <typename T>
constexpr bool is_number = std::is_arithmetic_v<T> && !std::is_same_v<T, bool>;

[[noreturn]] void refuse(const char* field, const std::string& why);

/// Counts and lengths.
using Count = std::uint32_t;

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  template <typename T>
  void write(const char* field, const T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      out_ += static_cast<char>(value ? 1 : 0);
    } else if constexpr (is_number<T>) {
      append(&value, 1);
    } else if constexpr (IsMessage<T>) {
      T::fields(value, [this](const char* name, const auto& own) { write(name, own); });
    } else if constexpr (is_optional<T>) {
      write(field, value.has_value());
      if (value) write(field, *value);
    } else {
      write_count(field, value.size());
      if constexpr (is_list<T>) {
        write_items(field, value);
      } else {
        out_ += value;
      }
    }
  }

 private:
  template <typename T>
  void append(const T* values, std::size_t count) {
    if (count > 0) out_.append(reinterpret_cast<const char*>(values), count * sizeof(T));
  }
  void write_count(const char* field, std::size_t count) {
    if (count > std::numeric_limits<Count>::max()) refuse(field, "more than 2^32 elements");
    const auto narrow = static_cast<Count>(count);
    append(&narrow, 1);
  }
  template <typename T>
  void write_items(const char* field, const std::vector<T>& values) {
    if constexpr (is_number<T>) {
      append(values.data(), values.size());
    } else {
      for (const T& value : values) write_count(field, value.size());
      for (const T& value : values) append(value.data(), value.size());
    }
  }

  std::string& out_;
};

/// Takes no memory for what is not there: counts are compared with the bytes left first.
class Reader {
 public:
  explicit Reader(std::span<const std::uint8_t> bytes) : left_(bytes) {}

  template <typename T>
  void read(const char* field, T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      value = read_flag(field);
    } else if constexpr (is_number<T>) {
      copy(&value, take(field, 1, sizeof value));
    } else if constexpr (IsMessage<T>) {
      T::fields(value, [this](const char* name, auto& own) { read(name, own); });
    } else if constexpr (is_optional<T>) {
      value.reset();
      if (read_flag(field)) read(field, value.emplace());
    } else {
      const Count count = read_count(field);
      if constexpr (is_list<T>) {
        read_items(field, count, value);
      } else {
        assign(field, count, value);
      }
    }
  }
  void finish() const;

 private:
  std::span<const std::uint8_t> take(const char* field, std::uint64_t count, std::size_t width);
  bool read_flag(const char* field);
  Count read_count(const char* field);
  template <typename T>
  static void copy(T* to, std::span<const std::uint8_t> bytes) {
    if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
  }
  template <typename T>
  void assign(const char* field, std::uint64_t count, T& value) {
    const auto bytes = take(field, count, sizeof(typename T::value_type));
    value.resize(count);
    copy(value.data(), bytes);
  }
  template <typename T>
  void read_items(const char* field, Count count, std::vector<T>& values) {
    if constexpr (is_number<T>) {
      assign(field, count, values);
    } else {
      const auto lengths = take(field, count, sizeof(Count));
      values.clear();
      values.resize(count);
      for (std::size_t i = 0; i < count; ++i) {
        Count length = 0;
        copy(&length, lengths.subspan(i * sizeof length, sizeof length));
        assign(field, length, values[i]);
      }
    }
  }

  std::span<const std::uint8_t> left_;
};

}  // namespace message

/// Appends the message to `out`.
template <typename Message>
void encode_message(const Message& from, std::string& out) {
  message::Writer(out).write("", from);
}

/// Throws kInvalidValue for anything that is not such a message.
template <typename Message>
Message decode_message(std::span<const std::uint8_t> bytes) {
  message::Reader reader(bytes);
  Message made;
  reader.read("", made);
  reader.finish();
  return made;
}

}  // namespace parsl_tl
