// Answers on their way from a server.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "instance.hpp"
#include "message.hpp"
#include "server_clock.hpp"

namespace parsl_tl::mochi {

/// Sends answers without waiting for them: a client that is gone must not hold a worker.
class Responder : public std::enable_shared_from_this<Responder> {
 public:
  /// `use` lasts until the answer is sent.
  void send(Handle handle, std::shared_ptr<Instance> use, const Answer::Header& header,
            Bytes download = {}, Bytes reply = {});
  /// Gives up those that are not sent by then.
  void finish(TimePoint deadline);

 private:
  struct OnItsWay;

  void cancel_overdue_locked(TimePoint now);
  void remove(hg_handle_t handle);

  std::mutex mutex_;  // guards the rest
  std::condition_variable changed_;
  std::unordered_map<hg_handle_t, TimePoint> on_their_way_;  // until when
  TimePoint next_look_;
};

}  // namespace parsl_tl::mochi
