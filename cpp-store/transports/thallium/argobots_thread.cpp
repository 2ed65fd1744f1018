#include "argobots_thread.hpp"

#include <stdlib.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "per_process.hpp"

namespace parsl_tl::mochi {
namespace {

// Margo's own choices for stacks. Argobots' have 16 KiB, too little for what lies below Mercury.
constexpr std::size_t kStackBytes = 2 << 20;
constexpr const char* kMostStacks = "8";

int say_nothing(FILE*, const char*, ...) { return 0; }
void log_nothing(void*, const char*) {}
margo_logger silent = {nullptr,     log_nothing, log_nothing, log_nothing,
                       log_nothing, log_nothing, log_nothing};

// What goes wrong is said by exceptions. Whoever wants to read more than that asks for it with the
// variables of Mercury and Margo.
void silence_logs() {
  if (std::getenv("HG_LOG_LEVEL") == nullptr) HG_Set_log_func(say_nothing);
  if (const margo_logger* logger = wanted_logger()) margo_set_global_logger(logger);
}

// Margo would do this as well, but then end Argobots with its last engine, and it miscounts its
// engines when one cannot start: Argobots would end under the others.
void start_argobots() {
  if (ABT_initialized() == ABT_SUCCESS) return;
  ::setenv("ABT_THREAD_STACKSIZE", std::to_string(kStackBytes).c_str(), 0);
  ::setenv("ABT_MEM_MAX_NUM_STACKS", kMostStacks, 0);
  ABT_init(0, nullptr);
}

void call(void* work) { (*static_cast<const std::function<void()>*>(work))(); }

}  // namespace

margo_logger* wanted_logger() {
  return std::getenv("MARGO_LOG_LEVEL") == nullptr ? &silent : nullptr;
}

ArgobotsThread& ArgobotsThread::get() { return per_process<ArgobotsThread>(); }

void ArgobotsThread::start() {
  silence_logs();
  // When an address is withdrawn, libfabric is to close its connection; see one_call.hpp.
  ::setenv("FI_AV_REMOVE_CLEANUP", "1", 0);
  std::thread([this] { loop(); }).detach();
}

void ArgobotsThread::run(const std::function<void()>& work) {
  const auto done = std::make_shared<std::promise<void>>();
  post([done, &work] {
    try {
      work();
      done->set_value();
    } catch (...) {
      done->set_exception(std::current_exception());
    }
  });
  done->get_future().get();
}

void ArgobotsThread::post(std::function<void()> work) {
  const std::lock_guard guard(mutex_);
  work_.push_back(std::move(work));
  wanted_.notify_one();
}

void ArgobotsThread::loop() {
  start_argobots();
  for (;;) {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      wanted_.wait(lock, [&] { return !work_.empty(); });
      work = std::move(work_.front());
      work_.pop_front();
    }
    run_on_stream(work);
  }
}

void ArgobotsThread::run_on_stream(const std::function<void()>& work) {
  ABT_xstream self = ABT_XSTREAM_NULL;
  const bool is_stranger =
      ABT_initialized() == ABT_SUCCESS && ABT_xstream_self(&self) != ABT_SUCCESS;
  if (!is_stranger) return work();
  // Somebody else of this process has started Argobots, or its parent had before the fork: then
  // this thread is none of Argobots' own, and has one made.
  if (stream_ == ABT_XSTREAM_NULL) ABT_xstream_create(ABT_SCHED_NULL, &stream_);
  ABT_thread_attr attributes = ABT_THREAD_ATTR_NULL;
  ABT_thread_attr_create(&attributes);
  ABT_thread_attr_set_stacksize(attributes, kStackBytes);
  ABT_thread thread = ABT_THREAD_NULL;
  void* argument = const_cast<std::function<void()>*>(&work);
  if (ABT_thread_create_on_xstream(stream_, call, argument, attributes, &thread) == ABT_SUCCESS) {
    ABT_thread_free(&thread);  // waits for its end
  } else {
    work();
  }
  ABT_thread_attr_free(&attributes);
}

}  // namespace parsl_tl::mochi
