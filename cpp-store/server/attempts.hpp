// Attempts to store models for which layers are held on other servers.
//
// Whoever holds layers for such an attempt frees them only when this server says that the attempt
// is over, and what is over stays so: its put is refused if it comes after all. So nothing depends
// on how long a put takes, or on clocks; they only decide how long a client that fell silent
// between two requests is waited for. What is known is lost when the server ends: then, too, puts
// of attempts that it does not know are refused, and their clients begin anew.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>

#include "metrics.hpp"
#include "requests/settle.hpp"

namespace parsl_tl {

/// The process that makes an attempt.
struct AttemptOrigin {
  std::string machine;
  std::uint64_t process = 0;
  std::uint64_t process_start = 0;

  static AttemptOrigin here();
  /// Known for certain: it ran on this machine, and does not any more.
  bool is_gone() const;
};

class Attempts {
 public:
  explicit Attempts(std::chrono::seconds silence) : silence_(silence) {}

  /// An earlier attempt to store the model is over now. Throws kBusy if its put is at work, for a
  /// process that is not known to be gone.
  void begin(std::uint64_t model_id, std::uint64_t attempt, AttemptOrigin origin);
  /// Throws kStale if the attempt is over, as does commit.
  void start(std::uint64_t model_id, std::uint64_t attempt);
  /// From here on the attempt is not over before it ends.
  void commit(std::uint64_t model_id, std::uint64_t attempt);
  void end(std::uint64_t model_id, std::uint64_t attempt);
  bool is_under_way(std::uint64_t model_id, std::uint64_t attempt, SettleHow how);

 private:
  enum class Stage { kAnnounced, kAtWork, kCommitting };
  struct Entry {
    std::uint64_t attempt = 0;
    AttemptOrigin origin;
    Stage stage = Stage::kAnnounced;
    Clock::time_point announced;
  };
  Entry& find(std::uint64_t model_id, std::uint64_t attempt);
  bool is_abandoned(const Entry& entry) const;
  void drop_abandoned();

  const std::chrono::seconds silence_;
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, Entry> entries_;  // by model
  std::size_t look_at_ = 1024;  // from this number on, abandoned ones are looked for
};

/// One put of an attempt, while it is at work.
class AttemptAtWork {
 public:
  AttemptAtWork(Attempts& attempts, std::uint64_t model_id, std::uint64_t attempt)
      : attempts_(attempts), model_id_(model_id), attempt_(attempt) {
    attempts_.start(model_id, attempt);
  }
  ~AttemptAtWork() { attempts_.end(model_id_, attempt_); }
  AttemptAtWork(const AttemptAtWork&) = delete;
  AttemptAtWork& operator=(const AttemptAtWork&) = delete;
  void commit() { attempts_.commit(model_id_, attempt_); }

 private:
  Attempts& attempts_;
  const std::uint64_t model_id_;
  const std::uint64_t attempt_;
};

}  // namespace parsl_tl
