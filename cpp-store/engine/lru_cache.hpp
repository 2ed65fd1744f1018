// The objects that were used last, by the number of a model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

namespace parsl_tl {

/// Keeps at most `most` objects alive: one more, and the one that was used least recently goes.
/// Thread-safe. Objects are destroyed when nobody has to wait for it, since that may unmap files.
template <typename T>
class LruCache {
 public:
  explicit LruCache(std::size_t most) : most_(most) {}

  /// The object, which counts as used now; null if there is none.
  std::shared_ptr<T> find(std::uint64_t id) {
    const std::lock_guard guard(mutex_);
    const auto found = places_.find(id);
    if (found == places_.end()) return nullptr;
    order_.splice(order_.end(), order_, found->second);
    return found->second->object;
  }

  /// Keeps the object, unless another thread was faster.
  void keep(std::uint64_t id, std::shared_ptr<T> object) {
    Order dropped;  // destroyed after the lock is let go of
    const std::lock_guard guard(mutex_);
    if (places_.contains(id)) return;
    order_.push_back({id, std::move(object)});
    places_[id] = std::prev(order_.end());
    if (order_.size() <= most_) return;
    places_.erase(order_.front().id);
    dropped.splice(dropped.end(), order_, order_.begin());
  }

  void forget(std::uint64_t id) {
    Order dropped;
    const std::lock_guard guard(mutex_);
    const auto found = places_.find(id);
    if (found == places_.end()) return;
    dropped.splice(dropped.end(), order_, found->second);
    places_.erase(found);
  }

  void clear() {
    Order dropped;
    const std::lock_guard guard(mutex_);
    dropped.swap(order_);
    places_.clear();
  }

  /// Numbers of the objects for which `is_wanted`; none of them counts as used.
  template <typename Condition>
  std::vector<std::uint64_t> ids_if(Condition is_wanted) const {
    std::vector<std::uint64_t> ids;
    const std::lock_guard guard(mutex_);
    ids.reserve(order_.size());
    for (const Entry& entry : order_) {
      if (is_wanted(*entry.object)) ids.push_back(entry.id);
    }
    return ids;
  }

 private:
  struct Entry {
    std::uint64_t id = 0;
    std::shared_ptr<T> object;
  };
  using Order = std::list<Entry>;

  const std::size_t most_;
  mutable std::mutex mutex_;  // guards the next two
  Order order_;               // used last at the end
  std::unordered_map<std::uint64_t, typename Order::iterator> places_;
};

}  // namespace parsl_tl
