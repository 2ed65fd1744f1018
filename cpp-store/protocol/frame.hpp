// What stands in front of every message: which request it is, and who sends it.
//
//   request := "PTLQ" | version (u16) | kind (u16) | token (32 bytes) | client (16 bytes)
//              | bytes of bulk data beside it (u64) | number (u64) | server (u32) | servers (u32)
//              | stores (u64) | store (16 bytes) | trace (16 bytes) | span (8 bytes) | message
//   reply   := "PTLR" | version (u16) | error code (u16, 0 for none) | instance (u64)
//              | message, or the error's text
//
// Little-endian. The token is a digest of the secret that servers and clients share; it travels
// with every request, whatever carries it. The client is a random number: servers keep by it what
// belongs to one client. A request that changes something has a number, of which the client uses no
// other: repeated, it gets the reply that was lost. A client says in each request for which store
// it takes the server: one with an empty folder, or another's, must answer nothing in its name. One
// that writes says, too, which server of how many that is, and by a digest beside which others. The
// trace and the span in it are those of the work that the request is part of; zeros where nobody
// records any. The instance is a random number that a server draws when it starts: by another one
// clients know that it was started anew.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "errors.hpp"
#include "membership.hpp"
#include "message.hpp"
#include "store_id.hpp"
#include "trace_context.hpp"

namespace parsl_tl {

constexpr std::uint16_t kProtocolVersion = 5;

/// Numbers are for good: a request that is given up leaves a gap.
enum class RequestKind : std::uint16_t {
  kHello = 1,
  kPing = 2,
  kStatus = 3,
  kStop = 4,
  kGoodbye = 5,
  kJoin = 6,
  kAdopt = 7,
  kPut = 10,
  kPutArchitectures = 11,
  kRetire = 12,
  kHold = 13,
  kRelease = 14,
  kBeginPut = 15,
  kSettle = 16,
  kFindDonors = 20,
  kOpenModel = 21,
  kReadLayers = 22,
  kDescribeModel = 30,
  kArchitecture = 31,
  kAncestors = 32,
  kDescendants = 33,
  kReferenceCount = 34,
  kContains = 35,
  kCountModels = 36,
  kListModels = 40,
  kListHolds = 41,
  kStats = 42,
  kVerify = 43,
  kCompact = 44,
  kFold = 45,
  kListBorrowed = 46,
  kLogState = 50,
  kReadLog = 51,
  kSegmentSizes = 52,
  kReadSegment = 53,
  kListFollowed = 54,
};

using Token = std::array<std::uint8_t, 32>;
using ClientId = std::array<std::uint8_t, 16>;

/// Takes the same time whichever bytes differ.
bool are_equal(const Token& a, const Token& b) noexcept;

struct RequestHeader {
  RequestKind kind = RequestKind::kPing;
  Token token{};
  ClientId client{};
  std::uint64_t bulk_bytes = 0;
  std::uint64_t number = 0;          // 0 for requests that may be done twice
  std::optional<Membership> server;  // nothing: no claim is made, here and in the next two
  std::uint64_t stores = 0;          // digest of the identities of all servers
  StoreId store;                     // of this one
  TraceContext trace;
};

constexpr std::size_t kRequestHeaderBytes = 128;
constexpr std::size_t kReplyHeaderBytes = 16;

/// A request without its message, which is appended.
std::string start_request(const RequestHeader& header);
/// Throws kInvalidValue for what is no request, kFormat for one of another version.
RequestHeader parse_request(std::span<const std::uint8_t> request);

/// A reply without its message, which is appended, and without the instance.
std::string start_reply();
std::string error_reply(ErrorCode code, std::string_view text);
void set_instance(std::string& reply, std::uint64_t instance) noexcept;
/// 0 for what is no reply.
std::uint64_t instance_of(std::string_view reply) noexcept;
/// Gives the reply's message. Throws what the server replied, or kInvalidValue for what is no
/// reply.
std::span<const std::uint8_t> parse_reply(std::string_view reply);

}  // namespace parsl_tl
