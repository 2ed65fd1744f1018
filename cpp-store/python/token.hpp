// The digest of the secret that servers and clients share, from Python's bytes.
#pragma once

#include <pybind11/pybind11.h>

#include <cstring>
#include <string_view>

#include "errors.hpp"
#include "frame.hpp"

namespace parsl_tl {

inline Token token_of(const pybind11::bytes& bytes) {
  const auto text = static_cast<std::string_view>(bytes);
  Token token;
  if (text.size() != token.size()) {
    throw StoreException(ErrorCode::kInvalidValue, "a token's digest has 32 bytes");
  }
  std::memcpy(token.data(), text.data(), token.size());
  return token;
}

}  // namespace parsl_tl
