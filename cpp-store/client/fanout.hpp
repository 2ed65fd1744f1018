// Asking several servers at once: threads that wait for work, since starting one takes longer than
// many a request.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "trace_context.hpp"

namespace parsl_tl {

class Fanout {
 public:
  explicit Fanout(std::size_t most_threads) : most_threads_(most_threads) {}
  ~Fanout();
  Fanout(const Fanout&) = delete;
  Fanout& operator=(const Fanout&) = delete;

  /// Calls work(0) to work(count - 1) at once and waits for all of them. Of several exceptions the
  /// one of the lowest number is thrown.
  void run(std::size_t count, const std::function<void(std::size_t)>& work);

 private:
  struct Batch {
    const std::function<void(std::size_t)>* work;
    std::vector<std::exception_ptr> errors;
    std::size_t open;
    TraceContext trace;  // of who asked: threads work for many
    std::condition_variable done;
  };
  struct Task {
    Batch* batch;
    std::size_t number;
  };
  void add_threads();
  void serve();
  void do_one(std::unique_lock<std::mutex>& lock);

  const std::size_t most_threads_;
  std::mutex mutex_;  // guards the rest
  std::condition_variable wanted_;
  std::deque<Task> tasks_;
  std::vector<std::thread> threads_;
  bool stop_ = false;
};

}  // namespace parsl_tl
