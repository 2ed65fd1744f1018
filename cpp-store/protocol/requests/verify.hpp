// Every checksum and every reference, computed anew.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct VerifyReply {
  std::uint64_t models = 0;
  std::uint64_t tensors = 0;
  std::uint64_t bytes = 0;
  std::vector<std::string> problems;

  static void fields(auto& self, auto&& field) {
    field("models", self.models);
    field("tensors", self.tensors);
    field("bytes", self.bytes);
    field("problems", self.problems);
  }
};

struct VerifyRequest {
  static constexpr RequestKind kKind = RequestKind::kVerify;
  using Reply = VerifyReply;
  static void fields(auto&, auto&&) {}
};

}  // namespace parsl_tl
