// What stands in front of messages.
#include "check.hpp"
#include "frame.hpp"
#include "random.hpp"

namespace parsl_tl::testing {
namespace {

std::span<const std::uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

RequestHeader random_header(Random& random) {
  RequestHeader header;
  header.kind = static_cast<RequestKind>(random.below(50));
  for (auto& byte : header.token) byte = static_cast<std::uint8_t>(random());
  for (auto& byte : header.client) byte = static_cast<std::uint8_t>(random());
  header.bulk_bytes = random();
  header.number = random();
  if (random.chance(0.5))
    header.server = Membership{static_cast<std::uint32_t>(random.below(9)), 9};
  header.stores = random();
  for (auto& byte : header.store.bytes) byte = static_cast<std::uint8_t>(random());
  for (auto& byte : header.trace.trace) byte = static_cast<std::uint8_t>(random());
  for (auto& byte : header.trace.span) byte = static_cast<std::uint8_t>(random());
  return header;
}

CASE(request_header_round_trips) {
  Random random(1);
  for (int i = 0; i < 100; ++i) {
    const RequestHeader header = random_header(random);
    const std::string request = start_request(header) + "message";
    CHECK_EQ(request.size(), kRequestHeaderBytes + 7);
    const RequestHeader parsed = parse_request(bytes_of(request));
    CHECK_EQ(parsed.kind, header.kind);
    CHECK(parsed.token == header.token);
    CHECK(parsed.client == header.client);
    CHECK_EQ(parsed.bulk_bytes, header.bulk_bytes);
    CHECK_EQ(parsed.number, header.number);
    CHECK(parsed.server == header.server);
    CHECK_EQ(parsed.stores, header.stores);
    CHECK(parsed.store == header.store);
    CHECK(parsed.trace == header.trace);
  }
}

CASE(request_that_is_none_is_refused) {
  const std::string request = start_request({});
  parse_request(bytes_of(request));
  for (std::size_t size = 0; size < request.size(); ++size) {
    CHECK_THROWS(parse_request(bytes_of(request.substr(0, size))), ErrorCode::kInvalidValue);
  }
  for (std::size_t i = 0; i < 4; ++i) {
    std::string other = request;
    other[i] = 'x';
    CHECK_THROWS(parse_request(bytes_of(other)), ErrorCode::kInvalidValue);
  }
  std::string newer = request;
  // Whatever their length: that of the header is the version's.
  for (const int version : {1, kProtocolVersion + 1}) {
    newer[4] = static_cast<char>(version);
    CHECK_THROWS(parse_request(bytes_of(newer)), ErrorCode::kFormat);
    CHECK_THROWS(parse_request(bytes_of(newer.substr(0, 80))), ErrorCode::kFormat);
  }
  RequestHeader header;
  header.server = Membership{3, 3};
  CHECK_THROWS(parse_request(bytes_of(start_request(header))), ErrorCode::kInvalidValue);
}

CASE(reply_gives_its_message_or_its_error) {
  const std::string reply = start_reply() + "message";
  const auto bytes = parse_reply(reply);
  CHECK_EQ(std::string(bytes.begin(), bytes.end()), "message");
  for (int code = 0; code <= static_cast<int>(ErrorCode::kStale); ++code) {
    const auto error = static_cast<ErrorCode>(code);
    CHECK_THROWS(parse_reply(error_reply(error, "why")), error);
    try {
      parse_reply(error_reply(error, "why"));
    } catch (const StoreException& thrown) {
      CHECK_EQ(std::string(thrown.what()), "why");
    }
  }
}

CASE(reply_tells_the_instance) {
  std::string reply = start_reply() + "message";
  CHECK_EQ(instance_of(reply), 0U);
  set_instance(reply, 0x0123456789ABCDEF);
  CHECK_EQ(instance_of(reply), 0x0123456789ABCDEFU);
  const auto bytes = parse_reply(reply);
  CHECK_EQ(std::string(bytes.begin(), bytes.end()), "message");
  CHECK_EQ(instance_of("PTLR"), 0U);
}

CASE(reply_that_is_none_is_refused) {
  const std::string reply = start_reply();
  for (std::size_t size = 0; size < reply.size(); ++size) {
    CHECK_THROWS(parse_reply(reply.substr(0, size)), ErrorCode::kInvalidValue);
  }
  CHECK_THROWS(parse_reply("PTLQ" + reply.substr(4)), ErrorCode::kInvalidValue);
  std::string newer = reply;
  newer[4] = kProtocolVersion + 1;
  CHECK_THROWS(parse_reply(newer), ErrorCode::kFormat);
  // What a newer server says is understood as far as it goes.
  std::string denied = error_reply(ErrorCode::kDenied, "no");
  denied[4] = kProtocolVersion + 1;
  CHECK_THROWS(parse_reply(denied), ErrorCode::kDenied);
  std::string unknown = error_reply(ErrorCode::kDenied, "no");
  unknown[6] = 99;
  CHECK_THROWS(parse_reply(unknown), ErrorCode::kIo);
  unknown[7] = 99;
  CHECK_THROWS(parse_reply(unknown), ErrorCode::kIo);
}

CASE(tokens_are_equal_if_all_bytes_are) {
  Random random(2);
  Token token{};
  for (auto& byte : token) byte = static_cast<std::uint8_t>(random());
  CHECK(are_equal(token, token));
  for (std::size_t i = 0; i < token.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      Token other = token;
      other[i] = static_cast<std::uint8_t>(other[i] ^ (1 << bit));
      CHECK(!are_equal(token, other));
    }
  }
}

}  // namespace
}  // namespace parsl_tl::testing
