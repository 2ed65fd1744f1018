// What became of attempts to store models of this server? What is not under way any more is over
// for good: should such an attempt come after all, it is refused.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

enum class AttemptState : std::uint8_t {
  kOver = 0,  // no model came of it, and none will
  kUnderWay = 1,
  kStored = 2,  // a living model has the id, whichever attempt it was
};

enum class SettleHow : std::uint32_t {
  kLook = 0,    // ends nothing
  kEnd = 1,     // what nobody is at any more
  kGiveUp = 2,  // whoever asks was at it
};

struct SettleReply {
  std::vector<std::uint8_t> states;
  std::vector<std::uint64_t> layers;  // that stored models have from the server in that place
  std::vector<std::uint64_t> sums;    // of these, see LayerSum

  static void fields(auto& self, auto&& field) {
    field("states", self.states);
    field("layers", self.layers);
    field("sums", self.sums);
  }
};

struct SettleRequest {
  static constexpr RequestKind kKind = RequestKind::kSettle;
  using Reply = SettleReply;
  std::vector<std::uint64_t> model_ids;
  std::vector<std::uint64_t> attempts;
  std::uint32_t place = 0;  // of the server that layers are held on
  std::uint32_t how = static_cast<std::uint32_t>(SettleHow::kLook);

  static void fields(auto& self, auto&& field) {
    field("model_ids", self.model_ids);
    field("attempts", self.attempts);
    field("place", self.place);
    field("how", self.how);
  }
};

}  // namespace parsl_tl
