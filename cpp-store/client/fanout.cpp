#include "fanout.hpp"

#include <system_error>

namespace parsl_tl {

Fanout::~Fanout() {
  {
    const std::lock_guard guard(mutex_);
    stop_ = true;
    wanted_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
}

void Fanout::do_one(std::unique_lock<std::mutex>& lock) {
  const Task task = tasks_.front();
  tasks_.pop_front();
  lock.unlock();
  std::exception_ptr error;
  try {
    const TraceScope scope(task.batch->trace);
    (*task.batch->work)(task.number);
  } catch (...) {
    error = std::current_exception();
  }
  lock.lock();
  task.batch->errors[task.number] = error;
  if (--task.batch->open == 0) task.batch->done.notify_all();
}

void Fanout::serve() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wanted_.wait(lock, [this] { return stop_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    do_one(lock);
  }
}

void Fanout::add_threads() {
  try {
    // One task is the caller's own.
    while (threads_.size() + 1 < tasks_.size() && threads_.size() < most_threads_) {
      threads_.emplace_back([this] { serve(); });
    }
  } catch (const std::system_error&) {
    // The system gives no more: those that are there do the work.
  }
}

void Fanout::run(std::size_t count, const std::function<void(std::size_t)>& work) {
  if (count == 0) return;
  if (count == 1) return work(0);
  Batch batch{&work, std::vector<std::exception_ptr>(count), count, current_trace(), {}};
  std::unique_lock lock(mutex_);
  for (std::size_t i = 0; i < count; ++i) tasks_.push_back({&batch, i});
  add_threads();
  wanted_.notify_all();
  // The caller works too, on whatever comes next: so it ends even if no thread could be had.
  while (batch.open > 0 && !tasks_.empty()) do_one(lock);
  batch.done.wait(lock, [&] { return batch.open == 0; });
  lock.unlock();
  for (const std::exception_ptr& error : batch.errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace parsl_tl
