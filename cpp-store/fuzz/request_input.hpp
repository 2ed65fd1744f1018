// How an input of the target for requests is laid out: five bytes, the message, the upload.
#pragma once

#include <algorithm>

#include "wrap.hpp"

namespace parsl_tl::fuzz {

enum RequestFlags : std::uint8_t {
  kWrongToken = 1,
  kWholeRequest = 2,  // the message is a request with its header
  kNumbered = 4,      // one that was answered before
  kClaims = 8,        // says that the server is the second of three
  kWrongRoom = 16,    // says of its bulk data what is not so
};

struct RequestInput {
  std::uint8_t state = 0;  // of the server; see fuzz_request.cpp
  std::uint8_t flags = 0;
  std::uint8_t kind = 0;  // its place in the table of requests
  Input message;
  Input upload;

  static constexpr std::size_t kHead = 5;

  static RequestInput from(Input input) {
    if (input.size() < kHead) return {};
    const std::size_t bytes = input[3] + 256U * input[4];
    const Input rest = input.subspan(kHead);
    const std::size_t upload = std::min(bytes, rest.size());
    return {input[0], input[1], input[2], rest.first(rest.size() - upload), rest.last(upload)};
  }

  Bytes bytes() const {
    const auto size = std::min<std::size_t>(upload.size(), 0xFFFF);
    Bytes made(kHead + message.size() + size);
    made[0] = state;
    made[1] = flags;
    made[2] = kind;
    made[3] = static_cast<std::uint8_t>(size);
    made[4] = static_cast<std::uint8_t>(size >> 8);
    std::copy(message.begin(), message.end(), made.begin() + kHead);
    std::copy_n(upload.begin(), size, made.end() - static_cast<std::ptrdiff_t>(size));
    return made;
  }
};

}  // namespace parsl_tl::fuzz
