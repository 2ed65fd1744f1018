#include "frame.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>

namespace parsl_tl {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr char kRequestMagic[4] = {'P', 'T', 'L', 'Q'};
constexpr char kReplyMagic[4] = {'P', 'T', 'L', 'R'};

struct RequestBytes {
  char magic[4];
  std::uint16_t version;
  std::uint16_t kind;
  std::uint8_t token[32];
  std::uint8_t client[16];
  std::uint64_t bulk_bytes;
  std::uint64_t number;
  std::uint32_t server;
  std::uint32_t servers;  // 0: no claim is made
  std::uint64_t stores;
  std::uint8_t store[16];  // zeros: no claim is made
  std::uint8_t trace[16];  // zeros: nobody records
  std::uint8_t span[8];
};
static_assert(sizeof(RequestBytes) == kRequestHeaderBytes);

struct ReplyBytes {
  char magic[4];
  std::uint16_t version;
  std::uint16_t code;
  std::uint64_t instance;
};
static_assert(sizeof(ReplyBytes) == kReplyHeaderBytes);

/// On the wire codes count from 1, so that 0 is free to mean none.
constexpr std::uint16_t kLastCode = static_cast<std::uint16_t>(ErrorCode::kStale) + 1;

void refuse_version(std::uint16_t version, const char* who) {
  if (version == kProtocolVersion) return;
  throw StoreException(ErrorCode::kFormat, std::string(who) + " speaks version " +
                                               std::to_string(version) +
                                               " of the store's protocol, this is version " +
                                               std::to_string(kProtocolVersion) +
                                               "; install the same parsl_tl on both sides");
}

std::string reply_header(std::uint16_t code) {
  ReplyBytes bytes{{}, kProtocolVersion, code, 0};
  std::memcpy(bytes.magic, kReplyMagic, sizeof kReplyMagic);
  return {reinterpret_cast<const char*>(&bytes), sizeof bytes};
}

}  // namespace

bool are_equal(const Token& a, const Token& b) noexcept {
  // Volatile, or the compiler may stop at the first byte that differs.
  volatile std::uint8_t difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference = static_cast<std::uint8_t>(difference | (a[i] ^ b[i]));
  }
  return difference == 0;
}

std::string start_request(const RequestHeader& header) {
  const Membership server = header.server.value_or(Membership{0, 0});
  RequestBytes bytes{{},
                     kProtocolVersion,
                     static_cast<std::uint16_t>(header.kind),
                     {},
                     {},
                     header.bulk_bytes,
                     header.number,
                     server.index,
                     server.count,
                     header.stores,
                     {},
                     {},
                     {}};
  std::memcpy(bytes.magic, kRequestMagic, sizeof kRequestMagic);
  std::memcpy(bytes.token, header.token.data(), header.token.size());
  std::memcpy(bytes.client, header.client.data(), header.client.size());
  std::memcpy(bytes.store, header.store.bytes.data(), header.store.bytes.size());
  std::memcpy(bytes.trace, header.trace.trace.data(), sizeof bytes.trace);
  std::memcpy(bytes.span, header.trace.span.data(), sizeof bytes.span);
  return {reinterpret_cast<const char*>(&bytes), sizeof bytes};
}

RequestHeader parse_request(std::span<const std::uint8_t> request) {
  RequestBytes bytes{};
  // Of nothing there is no address, which memcpy must have.
  const auto start = request.first(std::min(request.size(), sizeof bytes));
  std::copy(start.begin(), start.end(), reinterpret_cast<std::uint8_t*>(&bytes));
  if (request.size() < offsetof(RequestBytes, kind)) {
    throw StoreException(ErrorCode::kInvalidValue, "malformed request: it is cut off");
  }
  if (std::memcmp(bytes.magic, kRequestMagic, sizeof kRequestMagic) != 0) {
    throw StoreException(ErrorCode::kInvalidValue, "malformed request: it does not begin as one");
  }
  // Before anything that depends on it, such as how much is to come.
  refuse_version(bytes.version, "the client");
  if (request.size() < sizeof bytes) {
    throw StoreException(ErrorCode::kInvalidValue, "malformed request: it is cut off");
  }
  RequestHeader header;
  header.kind = static_cast<RequestKind>(bytes.kind);
  std::memcpy(header.token.data(), bytes.token, sizeof bytes.token);
  std::memcpy(header.client.data(), bytes.client, sizeof bytes.client);
  header.bulk_bytes = bytes.bulk_bytes;
  header.number = bytes.number;
  header.stores = bytes.stores;
  std::memcpy(header.store.bytes.data(), bytes.store, sizeof bytes.store);
  std::memcpy(header.trace.trace.data(), bytes.trace, sizeof bytes.trace);
  std::memcpy(header.trace.span.data(), bytes.span, sizeof bytes.span);
  if (bytes.servers == 0) return header;
  header.server = {bytes.server, bytes.servers};
  if (bytes.server >= bytes.servers) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "malformed request: it is for " + header.server->text());
  }
  return header;
}

std::string start_reply() { return reply_header(0); }

std::string error_reply(ErrorCode code, std::string_view text) {
  return reply_header(static_cast<std::uint16_t>(static_cast<std::uint16_t>(code) + 1))
      .append(text);
}

void set_instance(std::string& reply, std::uint64_t instance) noexcept {
  std::memcpy(&reply[offsetof(ReplyBytes, instance)], &instance, sizeof instance);
}

std::uint64_t instance_of(std::string_view reply) noexcept {
  std::uint64_t instance = 0;
  if (reply.size() < sizeof(ReplyBytes)) return 0;
  std::memcpy(&instance, &reply[offsetof(ReplyBytes, instance)], sizeof instance);
  return instance;
}

std::span<const std::uint8_t> parse_reply(std::string_view reply) {
  ReplyBytes bytes{};
  if (reply.size() < sizeof bytes ||
      std::memcmp(reply.data(), kReplyMagic, sizeof kReplyMagic) != 0) {
    throw StoreException(ErrorCode::kInvalidValue, "malformed reply: this is no store's server");
  }
  std::memcpy(&bytes, reply.data(), sizeof bytes);
  const std::string_view rest = reply.substr(sizeof bytes);
  if (bytes.code != 0) {
    const auto code =
        bytes.code > kLastCode ? ErrorCode::kIo : static_cast<ErrorCode>(bytes.code - 1);
    throw StoreException(code, std::string(rest));
  }
  refuse_version(bytes.version, "the server");
  return {reinterpret_cast<const std::uint8_t*>(rest.data()), rest.size()};
}

}  // namespace parsl_tl
