// The thread that Argobots knows as its first execution stream.
//
// Argobots takes the thread that starts it for its first execution stream, for as long as it runs.
// The threads that use a channel come and go, so none of them may be that one: engines of Thallium
// are started and ended by a thread that is kept for it, in every process one.
#pragma once

#include <abt.h>
#include <margo.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

namespace parsl_tl::mochi {

/// What Margo's engines are to log with: nothing, unless MARGO_LOG_LEVEL is set. Null: as it likes.
margo_logger* wanted_logger();

class ArgobotsThread {
 public:
  /// This process's. A process that was forked starts its own: the parent's thread is not in it.
  static ArgobotsThread& get();
  /// Starts the thread.
  void start();

  /// Has the thread do it, and waits. What it throws is thrown here.
  void run(const std::function<void()>& work);
  /// Has the thread do it, some time.
  void post(std::function<void()> work);

 private:
  void loop();
  /// Runs it where Argobots knows the caller, which Margo takes for granted.
  void run_on_stream(const std::function<void()>& work);

  std::mutex mutex_;  // guards the next two
  std::condition_variable wanted_;
  std::deque<std::function<void()>> work_;
  ABT_xstream stream_ = ABT_XSTREAM_NULL;  // the thread's only
};

}  // namespace parsl_tl::mochi
