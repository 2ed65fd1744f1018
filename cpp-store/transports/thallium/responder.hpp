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
  /// `use` lasts until the answer is sent. `header` tells the size of a reply that is kept.
  void send(Handle handle, std::shared_ptr<Instance> use, const Answer::Header& header,
            Bytes download = {}, Bytes reply = {});
  /// Answers somebody who is not let in, unless many such answers are on their way: who does not
  /// read them gets no more.
  void send_to_stranger(Handle handle, std::shared_ptr<Instance> use, const Answer::Header& header,
                        Bytes reply = {});
  /// Gives up those that are not sent by then.
  void finish(TimePoint deadline);

 private:
  struct OnItsWay;

  struct Due {
    TimePoint until;
    bool is_to_stranger;
  };

  void send(Handle handle, std::shared_ptr<Instance> use, const Answer::Header& header,
            Bytes download, Bytes reply, Due due);
  void look_for_overdue_locked();
  void remove(hg_handle_t handle);

  std::mutex mutex_;  // guards the rest
  std::condition_variable changed_;
  std::unordered_map<hg_handle_t, Due> on_their_way_;
  std::size_t to_strangers_ = 0;  // of these
  TimePoint next_look_;
};

}  // namespace parsl_tl::mochi
