#include "watch.hpp"

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "stalled_connections.hpp"

namespace parsl_tl {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kGrace{300};  // gRPC ends most calls itself
constexpr std::chrono::milliseconds kTick{250};
// The thread goes on looking for so long after the last call: who makes one after the other would
// wake it each time otherwise.
constexpr int kIdleTicks = 40;

/// Never destroyed, and its thread is never joined: it may be at work when the process ends, and
/// in a forked process it does not exist.
class Watch {
 public:
  static Watch& instance() {
    static auto* const watch = new Watch();
    return *watch;
  }

  std::list<WatchedCall::Entry>::iterator add(WatchedCall::Entry entry) {
    const std::lock_guard lock(mutex_);
    if (!is_running_) {
      std::thread([this] { run(); }).detach();
      is_running_ = true;
    }
    if (is_asleep_) wake_.notify_one();
    return calls_.insert(calls_.end(), entry);
  }

  void remove(std::list<WatchedCall::Entry>::iterator entry) {
    const std::lock_guard lock(mutex_);
    calls_.erase(entry);
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (int idle = 0;; ++idle) {
      if (!calls_.empty()) idle = 0;
      is_asleep_ = idle > kIdleTicks;
      if (is_asleep_) {
        wake_.wait(lock, [this] { return !calls_.empty(); });
        is_asleep_ = false;
        idle = 0;
      }
      wake_.wait_for(lock, kTick);
      const auto addresses = overdue();
      if (addresses.empty()) continue;
      lock.unlock();
      for (const auto& [text, address] : addresses) cut_stalled_connections(address, Side::kClient);
      lock.lock();
    }
  }

  /// Where calls are overdue. Copies: the channels may be gone when these are used.
  std::map<std::string, FlightAddress> overdue() const {
    const auto now = Clock::now();
    std::map<std::string, FlightAddress> addresses;
    for (const auto& call : calls_) {
      if (call.due < now) addresses.emplace(call.address->text, *call.address);
    }
    return addresses;
  }

  std::mutex mutex_;  // guards the rest
  std::condition_variable wake_;
  std::list<WatchedCall::Entry> calls_;
  bool is_running_ = false;
  bool is_asleep_ = false;
};

}  // namespace

WatchedCall::WatchedCall(const FlightAddress& address, std::chrono::milliseconds timeout)
    : entry_(Watch::instance().add({&address, Clock::now() + timeout + kGrace})) {}

WatchedCall::~WatchedCall() { Watch::instance().remove(entry_); }

}  // namespace parsl_tl
