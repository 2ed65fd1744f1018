// Objects that somebody holds, by the number of a model: who asks for one gets the same.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace parsl_tl {

/// Keeps nothing alive. Thread-safe.
template <typename T>
class WeakCache {
 public:
  /// Null if nobody holds it any more.
  std::shared_ptr<T> find(std::uint64_t id) {
    const std::lock_guard guard(mutex_);
    const auto found = objects_.find(id);
    return found == objects_.end() ? nullptr : found->second.lock();
  }

  /// Returns the object that counts: this one, unless another thread was faster.
  std::shared_ptr<T> keep(std::uint64_t id, const std::shared_ptr<T>& object) {
    const std::lock_guard guard(mutex_);
    if (objects_.size() >= sweep_at_) sweep();
    std::weak_ptr<T>& known = objects_[id];
    if (auto first = known.lock()) return first;
    known = object;
    return object;
  }

  /// The object; `make` makes it if there is none. Other numbers are not waited for meanwhile.
  template <typename Make>
  std::shared_ptr<T> find_or_make(std::uint64_t id, Make make) {
    if (auto held = find(id)) return held;
    return keep(id, make());
  }

  /// The next one to be kept takes its place, though somebody holds it.
  void forget(std::uint64_t id) {
    const std::lock_guard guard(mutex_);
    objects_.erase(id);
  }

  /// Entries, those included of objects that are gone and were not swept yet.
  std::size_t size() const {
    const std::lock_guard guard(mutex_);
    return objects_.size();
  }

 private:
  static constexpr std::size_t kLeastSwept = 1024;

  /// Now and then, so that there are never more entries of what is gone than of what is held.
  void sweep() {
    std::erase_if(objects_, [](const auto& entry) { return entry.second.expired(); });
    sweep_at_ = std::max(kLeastSwept, 2 * objects_.size());
  }

  mutable std::mutex mutex_;  // guards the rest
  std::unordered_map<std::uint64_t, std::weak_ptr<T>> objects_;
  std::size_t sweep_at_ = kLeastSwept;
};

}  // namespace parsl_tl
