// The threads that handle requests. Ordinary ones: a handler may block in system calls and mutexes,
// and has a stack of the usual size, neither of which Argobots' threads are made for.
//
// A worker that waits for a client's bulk data steps aside, and another takes its place: a client
// that stalls holds up nobody but itself.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "completion.hpp"

namespace parsl_tl::mochi {

class Workers : public std::enable_shared_from_this<Workers> {
 public:
  explicit Workers(unsigned most_busy) : most_busy_(most_busy) {}

  /// Has a worker do it. False once they are to end.
  bool submit(std::function<void()> job);
  /// Takes no new jobs; those that were taken are done.
  void end();
  /// After `end`: whether no worker is left by then.
  bool have_ended_by(TimePoint deadline);

  /// While it lives, the calling worker is not at work.
  class Aside {
   public:
    explicit Aside(Workers& workers);
    ~Aside();

   private:
    Workers& workers_;
  };

 private:
  /// Starts a thread if a job could be done and nobody is there to do it.
  void start_if_due_locked();
  void loop();
  bool can_work_locked() const { return !jobs_.empty() && busy_ < most_busy_; }

  const unsigned most_busy_;
  std::mutex mutex_;  // guards the rest
  std::condition_variable wanted_;
  std::condition_variable left_;
  std::deque<std::function<void()>> jobs_;
  unsigned threads_ = 0;
  unsigned idle_ = 0;  // threads that wait for a job
  unsigned busy_ = 0;  // threads with a job, but for those that stepped aside
  bool is_ending_ = false;
};

}  // namespace parsl_tl::mochi
