// Which segments of followed stores are here, and which of them goes first when they take too much.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_set>
#include <utility>

#include "engine.hpp"

namespace parsl_tl {

/// Owners of segments.
using Owners = std::unordered_set<std::uint64_t>;

/// Of all copies together. Thread-safe.
class PulledSegments {
 public:
  /// Without a budget, as many bytes are kept as there are. `most_at_once`: requests that pull.
  PulledSegments(std::optional<std::uint64_t> budget, unsigned most_at_once)
      : budget_(budget), most_at_once_(most_at_once) {}

  /// A request that pulls while this lives. Two servers that follow each other, all of whose
  /// threads wait for the other one, would wait for ever: one too many is told to try again, with
  /// kBusy.
  class Pulling {
   public:
    explicit Pulling(PulledSegments& segments);
    ~Pulling() { --segments_.at_work_; }
    Pulling(const Pulling&) = delete;
    Pulling& operator=(const Pulling&) = delete;

   private:
    PulledSegments& segments_;
  };

  void add(Engine& copy, std::uint64_t owner, std::uint64_t bytes);
  bool has(const Engine& copy, std::uint64_t owner) const;
  std::uint64_t bytes(const Engine& copy) const;
  /// Those of a copy.
  Owners owners(const Engine& copy) const;
  /// Removes a segment.
  void drop(Engine& copy, std::uint64_t owner);

  /// Forgets the segments of a copy that is closed; they stay where they are.
  void forget(const Engine& copy);

  /// Segments of one copy.
  struct Use {
    Engine* copy;
    Owners owners;
  };
  /// Counts segments as used just now, and calls `work` while none is removed. False, without
  /// calling it, if one of them is not here.
  template <typename Work>
  bool use(std::span<const Use> uses, Work work) {
    const std::lock_guard guard(mutex_);
    for (const Use& use : uses) {
      for (const std::uint64_t owner : use.owners) {
        if (!places_.contains({use.copy, owner})) return false;
      }
    }
    for (const Use& use : uses) {
      for (const std::uint64_t owner : use.owners) touch({use.copy, owner});
    }
    work();
    return true;
  }

  /// Removes what was used longest ago, until the budget holds; but for what is in use.
  void trim(std::span<const Use> in_use);

 private:
  using Key = std::pair<Engine*, std::uint64_t>;
  struct Entry {
    Key key;
    std::uint64_t bytes;
  };
  void touch(const Key& key) { order_.splice(order_.end(), order_, places_.at(key)); }
  std::list<Entry>::iterator remove(std::list<Entry>::iterator entry);

  const std::optional<std::uint64_t> budget_;
  const unsigned most_at_once_;
  std::atomic<unsigned> at_work_ = 0;
  mutable std::mutex mutex_;  // guards the rest
  std::list<Entry> order_;    // used longest ago first
  std::map<Key, std::list<Entry>::iterator> places_;
  std::map<const Engine*, std::uint64_t> bytes_of_;
  std::uint64_t bytes_ = 0;
};

}  // namespace parsl_tl
