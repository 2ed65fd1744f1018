// How an input of the target for replies is laid out: the call, flags, then replies, each with the
// server that gives it, the kind of request that it was made for, and its size.
#pragma once

#include <algorithm>
#include <vector>

#include "wrap.hpp"

namespace parsl_tl::fuzz {

enum ReplyFlags : std::uint8_t {
  kThreeServers = 1,
  kMapped = 2,        // the servers' files are on this machine
  kWholeReplies = 4,  // replies come with their headers, also those to the first request
};

struct ReplyInput {
  struct Reply {
    std::uint8_t server = 0;
    std::uint8_t kind = 0;  // its place in the table of requests; for mutations only
    Input bytes;
  };
  std::uint8_t call = 0;
  std::uint8_t flags = 0;
  std::vector<Reply> replies;

  static ReplyInput from(Input input) {
    ReplyInput made;
    if (input.size() < 2) return made;
    made.call = input[0];
    made.flags = input[1];
    for (Input rest = input.subspan(2); rest.size() >= 4;) {
      const std::size_t size = std::min<std::size_t>(rest[2] + 256U * rest[3], rest.size() - 4);
      made.replies.push_back({rest[0], rest[1], rest.subspan(4, size)});
      rest = rest.subspan(4 + size);
    }
    return made;
  }

  Bytes bytes() const {
    Bytes made{call, flags};
    for (const Reply& reply : replies) {
      const auto size = std::min<std::size_t>(reply.bytes.size(), 0xFFFF);
      made.insert(made.end(), {reply.server, reply.kind, static_cast<std::uint8_t>(size),
                               static_cast<std::uint8_t>(size >> 8)});
      made.insert(made.end(), reply.bytes.begin(),
                  reply.bytes.begin() + static_cast<std::ptrdiff_t>(size));
    }
    return made;
  }
};

}  // namespace parsl_tl::fuzz
