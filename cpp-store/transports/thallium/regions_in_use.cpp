#include "regions_in_use.hpp"

namespace parsl_tl::mochi {

bool RegionInUse::begin() {
  const std::lock_guard guard(mutex_);
  if (is_closed_) return false;
  ++under_way_;
  return true;
}

void RegionInUse::end() {
  std::function<void()> left;
  {
    const std::lock_guard guard(mutex_);
    if (--under_way_ == 0) left = std::move(when_left_);
  }
  if (left) left();
}

void RegionInUse::close(std::function<void()> when_left) {
  {
    const std::lock_guard guard(mutex_);
    is_closed_ = true;
    if (under_way_ > 0) {
      when_left_ = std::move(when_left);
      return;
    }
  }
  when_left();
}

std::shared_ptr<RegionInUse> RegionsInUse::open(Call call) {
  const std::lock_guard guard(mutex_);
  return calls_[call] = std::make_shared<RegionInUse>();
}

void RegionsInUse::remove(Call call) {
  const std::lock_guard guard(mutex_);
  calls_.erase(call);
}

void RegionsInUse::close(Call call, std::function<void()> when_left) {
  std::shared_ptr<RegionInUse> found;
  {
    const std::lock_guard guard(mutex_);
    const auto at = calls_.find(call);
    if (at != calls_.end()) found = at->second;
  }
  // Messages of one client arrive in order: the call itself is answered, then, or was never sent.
  if (!found) return when_left();
  found->close(std::move(when_left));
}

}  // namespace parsl_tl::mochi
