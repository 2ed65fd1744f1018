// Singletons that do not outlive a fork: a child that inherits one makes its own, and never touches
// the parent's, whose threads it does not have.
#pragma once

#include <unistd.h>

#include <atomic>

namespace parsl_tl::mochi {

/// This process's T, made at the first call and never freed: threads may use it until the process
/// is gone. `start` is called once, after it was made.
template <typename T>
T& per_process() {
  struct Made {
    ::pid_t process = ::getpid();
    T value;
  };
  static std::atomic<Made*> current{nullptr};
  Made* found = current.load();
  while (found == nullptr || found->process != ::getpid()) {
    Made* made = new Made;
    if (current.compare_exchange_strong(found, made)) {
      made->value.start();
      return made->value;
    }
    delete made;
  }
  return found->value;
}

}  // namespace parsl_tl::mochi
