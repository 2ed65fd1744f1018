#include "held_replies.hpp"

namespace parsl_tl::mochi {

void HeldReplies::hold(RegionsInUse::Call call, std::string reply, TimePoint until) {
  auto held = std::make_shared<const std::string>(std::move(reply));
  const std::lock_guard guard(mutex_);
  std::erase_if(replies_,
                [now = Clock::now()](const auto& other) { return other.second.until <= now; });
  replies_[call] = {std::move(held), until};
}

std::shared_ptr<const std::string> HeldReplies::take(RegionsInUse::Call call) {
  const std::lock_guard guard(mutex_);
  const auto found = replies_.extract(call);
  return found ? std::move(found.mapped().reply) : nullptr;
}

}  // namespace parsl_tl::mochi
