// Announces an attempt to store a model, before layers are held for it elsewhere. From now on an
// earlier attempt comes to nothing. It says who makes it, so that servers of the same machine know
// when that process is gone.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct BeginPutReply {
  static void fields(auto&, auto&&) {}
};

struct BeginPutRequest {
  static constexpr RequestKind kKind = RequestKind::kBeginPut;
  using Reply = BeginPutReply;
  std::uint64_t model_id = 0;
  std::uint64_t attempt = 0;
  std::string machine;  // and the space of process numbers
  std::uint64_t process = 0;
  std::uint64_t process_start = 0;  // numbers of processes come again

  static void fields(auto& self, auto&& field) {
    field("model_id", self.model_id);
    field("attempt", self.attempt);
    field("machine", self.machine);
    field("process", self.process);
    field("process_start", self.process_start);
  }
};

}  // namespace parsl_tl
