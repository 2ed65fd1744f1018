// What our clients and servers agree on within Flight.
//
// A head goes before every request that has bulk data beside it: as the command of a put's
// descriptor, and as the ticket of a get. It tells how many bytes the upload has, or how many the
// client expects, so that a stream that was cut off is never taken for a whole one. A request
// without bulk data is the body of an action, as it is.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace parsl_tl {

constexpr char kAction[] = "parsl_tl.call";
/// What a client calls first on a connection, with the beginning of its request, if it has more to
/// send than is taken from strangers; see gate.hpp.
constexpr char kEnter[] = "parsl_tl.enter";

/// The reply to an upload that was not taken to its end travels in the error that cuts the upload
/// off, behind this word: the client need not send the rest first. Longer replies do not fit into
/// the headers of HTTP/2; the server reads the rest before it sends one of those.
constexpr std::string_view kEarlyReply = "parsl_tl.early-reply:";
constexpr std::size_t kMostEarlyReplyBytes = 1 << 10;

/// How the error begins of a server that has as many calls as it can take.
constexpr std::string_view kTooManyCalls = "too many calls at once";

struct Head {
  std::uint64_t bulk_bytes = 0;
  std::span<const std::uint8_t> request;
};

static_assert(std::endian::native == std::endian::little, "heads are little-endian");
constexpr std::string_view kHeadMagic = "PTLCALL1";
constexpr std::size_t kHeadBytes = kHeadMagic.size() + sizeof(std::uint64_t);

inline std::string format_head(const Head& head) {
  std::string text;
  text.reserve(kHeadBytes + head.request.size());
  text += kHeadMagic;
  text.append(reinterpret_cast<const char*>(&head.bulk_bytes), sizeof head.bulk_bytes);
  text.append(reinterpret_cast<const char*>(head.request.data()), head.request.size());
  return text;
}

/// Points into `text`; nothing if that is no head.
inline std::optional<Head> parse_head(std::string_view text) {
  if (text.size() < kHeadBytes || !text.starts_with(kHeadMagic)) return std::nullopt;
  Head head;
  std::memcpy(&head.bulk_bytes, text.data() + kHeadMagic.size(), sizeof head.bulk_bytes);
  const std::string_view request = text.substr(kHeadBytes);
  head.request = {reinterpret_cast<const std::uint8_t*>(request.data()), request.size()};
  return head;
}

}  // namespace parsl_tl
