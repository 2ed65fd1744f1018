// Messages: what was encoded is decoded again, and nothing else is.
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
    if (!bytes.empty()) CHECK(!is_decoded<Message>(bytes + bytes));
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
  const std::vector<std::uint64_t> edges{0,
                                         1,
                                         0x7FFFFFFF,
                                         0xFFFFFFFF,
                                         std::uint64_t{1} << 40,
                                         ~std::uint64_t{0} >> 1,
                                         ~std::uint64_t{0}};
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
  // Fewer fields are never taken for more.
  CHECK(!is_decoded<RetireRequest>(encoded(PingRequest{})));
  CHECK(!is_decoded<ContainsRequest>(encoded(RetireRequest{})));
  CHECK(!is_decoded<FindDonorsReply>(encoded(ContainsReply{})));
}

/// A message whose bytes are given.
template <typename... Numbers>
std::string bytes_of(Numbers... numbers) {
  std::string bytes;
  (bytes.append(reinterpret_cast<const char*>(&numbers), sizeof numbers), ...);
  return bytes;
}

CASE(message_lies_as_documented) {
  RetireRequest retire;
  retire.model_id = 7;
  CHECK_EQ(encoded(retire), bytes_of(std::uint64_t{7}));
  ContainsRequest contains;
  contains.model_ids = {1, 2};
  CHECK_EQ(encoded(contains), bytes_of(std::uint32_t{2}, std::uint64_t{1}, std::uint64_t{2}));
  const OpenModelRequest open{5, {6}, 9, true};
  CHECK_EQ(encoded(open), bytes_of(std::uint64_t{5}, std::uint32_t{1}, std::uint64_t{6},
                                   std::uint64_t{9}, std::uint8_t{1}));
}

CASE(message_that_announces_more_than_it_has_takes_no_memory) {
  for (const std::uint32_t count : {2U, 0x10000000U, 0x7FFFFFFFU, 0xFFFFFFFFU}) {
    CHECK(!is_decoded<ContainsRequest>(bytes_of(count)));
    CHECK(!is_decoded<ContainsRequest>(bytes_of(count, std::uint64_t{1})));
    CHECK(!is_decoded<ArchitectureReply>(bytes_of(count, 'a')));  // a text
  }
}

CASE(message_with_flags_beyond_one_is_refused) {
  OpenModelRequest open;
  std::string bytes = encoded(open);
  bytes.back() = 1;
  CHECK(decoded<OpenModelRequest>(bytes).knows_layers);
  for (const char flag : {'\2', '\x7F', '\xFF'}) {
    bytes.back() = flag;
    CHECK(!is_decoded<OpenModelRequest>(bytes));
  }
  // Whether an optional value follows.
  std::string put = encoded(PutMessage{});
  const std::size_t parent = sizeof(std::uint64_t) + sizeof(double);
  CHECK_EQ(put[parent], 0);
  put[parent] = 2;
  CHECK(!is_decoded<PutMessage>(put));
}

CASE(message_within_a_message) {
  FindDonorsReply reply;
  reply.opened.emplace();
  reply.opened->quality = 0.5;
  reply.opened->layer_names = {"", "Dense"};
  reply.opened->tensor_shapes = {{}, {2, 3}};
  CHECK(are_same(decoded<FindDonorsReply>(encoded(reply)), reply));
  // It ends where the message around it goes on.
  const std::string bytes = encoded(reply);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    CHECK(!is_decoded<FindDonorsReply>(bytes.substr(0, size)));
  }
}

}  // namespace
}  // namespace parsl_tl::testing
