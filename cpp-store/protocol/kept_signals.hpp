// Keeps the process's signal handlers: some libraries below libfabric replace those of SIGINT and
// SIGTERM when they are loaded, and end the process in their own way.
#pragma once

#include <signal.h>

#include <array>

namespace parsl_tl {

/// What was there when it was made is there again when it goes.
class KeptSignals {
 public:
  KeptSignals() {
    for (std::size_t i = 0; i < kept_.size(); ++i) ::sigaction(kSignals[i], nullptr, &kept_[i]);
  }
  ~KeptSignals() {
    for (std::size_t i = 0; i < kept_.size(); ++i) ::sigaction(kSignals[i], &kept_[i], nullptr);
  }
  KeptSignals(const KeptSignals&) = delete;
  KeptSignals& operator=(const KeptSignals&) = delete;

 private:
  static constexpr std::array kSignals{SIGINT,  SIGTERM, SIGHUP, SIGQUIT, SIGABRT,
                                       SIGSEGV, SIGBUS,  SIGFPE, SIGILL};
  std::array<struct sigaction, kSignals.size()> kept_{};
};

}  // namespace parsl_tl
