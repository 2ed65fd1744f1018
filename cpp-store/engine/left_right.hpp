// Two copies of a state, so that readers never wait for the writer, nor for each other.
//
// The writer changes the copy that nobody reads, turns new readers to it, waits until the last
// reader of the other one has left, and repeats the change there (P. Ramalhete and A. Correia,
// "Left-Right: A Concurrency Control Technique with Wait-Free Population Oblivious Reads", 2015).
// Writers exclude each other by other means. A thread must not write while it reads.
#pragma once

#include <atomic>
#include <thread>
#include <utility>

namespace parsl_tl {

template <typename T>
class LeftRight {
 public:
  explicit LeftRight(const T& value) : sides_{{value}, {value}} {}

  /// One of the copies, which stays as it is while this object lives.
  class Reader {
   public:
    Reader(Reader&& other) noexcept
        : value_(other.value_), readers_(std::exchange(other.readers_, nullptr)) {}
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    Reader& operator=(Reader&&) = delete;
    ~Reader() {
      if (readers_ != nullptr) readers_->fetch_sub(1);
    }
    const T* operator->() const noexcept { return value_; }
    const T& operator*() const noexcept { return *value_; }

   private:
    friend class LeftRight;
    Reader(const T* value, std::atomic<int>* readers) : value_(value), readers_(readers) {}
    const T* value_;
    std::atomic<int>* readers_;
  };

  Reader read() const {
    std::atomic<int>& readers = counts_[version_.load()].readers;
    readers.fetch_add(1);
    return Reader(&sides_[active_.load()].value, &readers);
  }

  /// Calls `change` with each copy in turn; both calls must do the same. If the first throws, the
  /// state is as it was.
  template <typename Change>
  auto update(Change change) {
    const int active = active_.load();
    const int other = 1 - active;
    if constexpr (std::is_void_v<decltype(change(sides_[0].value))>) {
      apply(change, other, active);
      turn(other);
      change(sides_[active].value);
    } else {
      auto result = apply(change, other, active);
      turn(other);
      change(sides_[active].value);
      return result;
    }
  }

 private:
  struct alignas(64) Side {
    T value;
  };
  struct alignas(64) Count {
    std::atomic<int> readers{0};
  };

  template <typename Change>
  auto apply(Change& change, int other, int active) {
    try {
      return change(sides_[other].value);
    } catch (...) {
      sides_[other].value = sides_[active].value;
      throw;
    }
  }

  /// Turns readers to a side, and returns when none is left on the other.
  void turn(int side) {
    active_.store(side);
    const int before = version_.load();
    wait_for(1 - before);  // stragglers of the turn before
    version_.store(1 - before);
    wait_for(before);
  }
  void wait_for(int version) const {
    while (counts_[version].readers.load() != 0) std::this_thread::yield();
  }

  Side sides_[2];
  mutable Count counts_[2];
  std::atomic<int> active_{0};
  std::atomic<int> version_{0};
};

}  // namespace parsl_tl
