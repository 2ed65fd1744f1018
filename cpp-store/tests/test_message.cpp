// Messages: what was encoded is decoded again, and nothing else is.
#include <arrow/api.h>
#include <arrow/ipc/api.h>
#include <arrow/util/compression.h>

#include <cstring>

#include "all_requests.hpp"
#include "check.hpp"

namespace parsl_tl::testing {
namespace {

/// Whether it is decoded; if not, it has to be refused as malformed.
template <typename Message>
bool is_decoded(const std::string& bytes) {
  try {
    decoded<Message>(bytes);
    return true;
  } catch (const StoreException& error) {
    CHECK_EQ(error.code(), ErrorCode::kInvalidValue);
    CHECK(std::string(error.what()).starts_with("malformed message: "));
  }
  return false;
}

CASE(message_round_trips) {
  Random random(1);
  for_each_message([&]<typename Message>() {
    CHECK(are_same(decoded<Message>(encoded(Message{})), Message{}));
    for (int i = 0; i < 50; ++i) {
      const auto message = random_message<Message>(random);
      const std::string bytes = encoded(message);
      CHECK(are_same(decoded<Message>(bytes), message));
      // Wherever it lies.
      const std::string shifted = "abc" + bytes;
      const std::span all(reinterpret_cast<const std::uint8_t*>(shifted.data()), shifted.size());
      CHECK(are_same(decode_message<Message>(all.subspan(3)), message));
    }
  });
}

CASE(message_of_many_elements) {
  Random random(2);
  PutMessage message;
  for (int i = 0; i < 5000; ++i) {
    message.layer_keys.push_back(random());
    message.layer_names.emplace_back(random.below(100), 'n');
    message.tensor_shapes.emplace_back(random.below(5), static_cast<std::int64_t>(random()));
  }
  message.architecture.assign(1 << 20, '{');
  CHECK(are_same(decoded<PutMessage>(encoded(message)), message));
}

CASE(message_cut_off_or_extended_is_refused) {
  Random random(3);
  for_each_message([&]<typename Message>() {
    const std::string bytes = encoded(random_message<Message>(random));
    for (std::size_t size = 0; size < bytes.size(); size += 1 + random.below(4)) {
      CHECK(!is_decoded<Message>(bytes.substr(0, size)));
    }
    for (const std::size_t more : {1, 7, 8, 64, 1000}) {
      CHECK(!is_decoded<Message>(bytes + std::string(more, '\0')));
    }
    CHECK(!is_decoded<Message>(bytes + bytes));
  });
}

CASE(message_with_flipped_bits) {
  Random random(4);
  for_each_message([&]<typename Message>() {
    const std::string bytes = encoded(random_message<Message>(random));
    for (std::size_t bit = 0; bit < 8 * bytes.size(); bit += 1 + random.below(3)) {
      std::string flipped = bytes;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
      is_decoded<Message>(flipped);
    }
  });
}

CASE(message_with_numbers_at_the_edges) {
  Random random(5);
  const std::vector<std::uint64_t> edges{0, 1, 0x7FFFFFFF, 0xFFFFFFFF, std::uint64_t{1} << 40,
                                         ~std::uint64_t{0} >> 1, ~std::uint64_t{0}};
  for_each_message([&]<typename Message>() {
    const std::string bytes = encoded(random_message<Message>(random));
    for (std::size_t at = 0; at + 8 <= bytes.size(); at += 4) {
      std::string changed = bytes;
      std::memcpy(&changed[at], &random.pick(edges), random.chance(0.5) ? 4 : 8);
      is_decoded<Message>(changed);
    }
  });
}

CASE(message_of_another_kind) {
  Random random(6);
  for_each_message([&]<typename From>() {
    const std::string bytes = encoded(random_message<From>(random));
    for_each_message([&]<typename To>() { is_decoded<To>(bytes); });
  });
  // Fewer columns are never taken for more.
  CHECK(!is_decoded<RetireRequest>(encoded(PingRequest{})));
  CHECK(!is_decoded<ContainsRequest>(encoded(RetireRequest{})));
  CHECK(!is_decoded<BestAncestorsReply>(encoded(ContainsReply{})));
}

/// As a sender with another opinion about the format writes it.
template <typename Message>
std::string compressed(const Message& message, arrow::Compression::type codec) {
  std::vector<std::shared_ptr<arrow::ArrayData>> data;
  for (const auto& column : message::columns_of(message)) data.push_back(column.data);
  const auto batch = arrow::RecordBatch::Make(message::schema_of<Message>(), 1, data);
  auto options = arrow::ipc::IpcWriteOptions::Defaults();
  options.codec = arrow::util::Codec::Create(codec).ValueOrDie();
  return arrow::ipc::SerializeRecordBatch(*batch, options).ValueOrDie()->ToString();
}

CASE(message_that_is_compressed_takes_no_memory) {
  PutMessage message;
  message.edges.assign(4 << 20, 0);
  message.architecture.assign(16 << 20, ' ');
  for (const auto codec : {arrow::Compression::LZ4_FRAME, arrow::Compression::ZSTD}) {
    const std::string bytes = compressed(message, codec);
    CHECK(bytes.size() < 1 << 20);
    const std::int64_t before = arrow::default_memory_pool()->total_bytes_allocated();
    CHECK(!is_decoded<PutMessage>(bytes));
    CHECK_EQ(arrow::default_memory_pool()->total_bytes_allocated(), before);
    // A few bytes that announce a terabyte, and none that announce nothing.
    const std::string small = compressed(RetireReply{1, {0, 0, 0, 0, 0, 0, 0, 0}}, codec);
    for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
      for (std::size_t at = 0; at + 8 <= small.size(); at += 8) {
        std::string changed = small;
        std::memcpy(&changed[at], &size, sizeof size);
        is_decoded<RetireReply>(changed);
      }
    }
  }
}

/// One row with a null where the schema has none: as a value, in a list, in a list of lists.
CASE(message_with_nulls_is_refused) {
  const auto refuses = [](const std::shared_ptr<arrow::Array>& values) {
    const auto batch = arrow::RecordBatch::Make(
        arrow::schema({arrow::field("values", values->type())}), 1, {values});
    const auto bytes =
        arrow::ipc::SerializeRecordBatch(*batch, arrow::ipc::IpcWriteOptions::Defaults());
    return [text = bytes.ValueOrDie()->ToString()]<typename Message>() {
      return !is_decoded<Message>(text);
    };
  };
  arrow::UInt64Builder number;
  CHECK(number.AppendNull().ok());
  CHECK(refuses(number.Finish().ValueOrDie()).template operator()<RetireRequest>());
  arrow::ListBuilder list(arrow::default_memory_pool(), std::make_shared<arrow::UInt64Builder>());
  CHECK(list.Append().ok());
  CHECK(static_cast<arrow::UInt64Builder*>(list.value_builder())->AppendNull().ok());
  CHECK(refuses(list.Finish().ValueOrDie()).template operator()<ContainsRequest>());
  CHECK(list.AppendNull().ok());
  CHECK(refuses(list.Finish().ValueOrDie()).template operator()<ContainsRequest>());
}

}  // namespace
}  // namespace parsl_tl::testing
