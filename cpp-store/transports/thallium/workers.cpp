#include "workers.hpp"

#include <system_error>
#include <thread>

namespace parsl_tl::mochi {
namespace {

// With those that stepped aside.
constexpr unsigned kMostThreads = 256;

}  // namespace

bool Workers::submit(std::function<void()> job) {
  {
    const std::lock_guard guard(mutex_);
    if (is_ending_) return false;
    jobs_.push_back(std::move(job));
    start_if_due_locked();
  }
  // With the lock held, the worker would wake up to wait once more.
  wanted_.notify_one();
  return true;
}

void Workers::end() {
  const std::lock_guard guard(mutex_);
  is_ending_ = true;
  wanted_.notify_all();
}

bool Workers::have_ended_by(TimePoint deadline) {
  std::unique_lock lock(mutex_);
  return left_.wait_until(lock, deadline, [&] { return threads_ == 0; });
}

void Workers::start_if_due_locked() {
  if (!can_work_locked() || jobs_.size() <= idle_ || threads_ == kMostThreads) return;
  try {
    std::thread([self = shared_from_this()] { self->loop(); }).detach();
    ++threads_;
  } catch (const std::system_error&) {
    // No thread to be had: a worker that is at work now comes to it later.
  }
}

void Workers::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    wanted_.wait(lock, [&] { return can_work_locked() || is_ending_; });
    --idle_;
    if (jobs_.empty()) break;
    std::function<void()> job = std::move(jobs_.front());
    jobs_.pop_front();
    ++busy_;
    lock.unlock();
    job();
    job = nullptr;
    lock.lock();
    --busy_;
    // Whoever came in for one that stepped aside goes when it is back.
    if (jobs_.empty() && threads_ > most_busy_) break;
  }
  if (--threads_ == 0) left_.notify_all();
}

Workers::Aside::Aside(Workers& workers) : workers_(workers) {
  const std::lock_guard guard(workers_.mutex_);
  --workers_.busy_;
  workers_.start_if_due_locked();
  workers_.wanted_.notify_one();
}

Workers::Aside::~Aside() {
  const std::lock_guard guard(workers_.mutex_);
  ++workers_.busy_;  // at once, even if that is one too many: it has waited long enough
}

}  // namespace parsl_tl::mochi
