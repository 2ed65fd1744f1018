// Where the log ends, and whether a place in it is known: what another store needs to follow this
// one. Of a place that is not known, the log was written anew, or it is another store's: then all
// of it is read again.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct LogStateReply {
  bool is_known = false;
  std::uint64_t generation = 0;
  std::uint64_t position = 0;
  std::uint64_t models_put = 0;
  std::string format;  // of the store's folder

  static void fields(auto& self, auto&& field) {
    field("is_known", self.is_known);
    field("generation", self.generation);
    field("position", self.position);
    field("models_put", self.models_put);
    field("format", self.format);
  }
};

struct LogStateRequest {
  static constexpr RequestKind kKind = RequestKind::kLogState;
  using Reply = LogStateReply;
  std::uint64_t generation = 0;
  std::uint64_t position = 0;
  std::uint64_t last_frame = 0;
  std::uint64_t last_checksum = 0;

  static void fields(auto& self, auto&& field) {
    field("generation", self.generation);
    field("position", self.position);
    field("last_frame", self.last_frame);
    field("last_checksum", self.last_checksum);
  }
};

}  // namespace parsl_tl
