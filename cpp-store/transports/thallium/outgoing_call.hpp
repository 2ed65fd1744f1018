// One RPC as a client makes it, with an end that it can give up waiting for.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "message.hpp"
#include "peers.hpp"

namespace parsl_tl::mochi {

/// What a client makes its calls with.
struct Target {
  std::shared_ptr<Peer> peer;
  hg_id_t rpc;
  std::uint16_t provider_id;
};

/// Registers the RPC with the client's instance, for this provider.
hg_id_t register_for_calls(Instance& instance, std::uint16_t provider_id);

class OutgoingCall {
 public:
  /// Sends the message, or throws kUnreachable.
  OutgoingCall(const Target& target, const std::vector<Bytes>& message);

  /// True if an answer has come by then, or none will come any more.
  bool wait_until(TimePoint deadline);
  /// Waits no longer. True if there is an answer nevertheless.
  bool cancel();
  /// After the end: whether the process is there, but serves nobody with this provider id.
  bool is_nobodys() const;
  /// Of an answer that has come: calls `read` with it, once. Throws kUnreachable if it is an error
  /// of Mercury's, kIo if it is no answer.
  void read_answer(const std::function<void(const Answer&)>& read);

 private:
  /// Lives until Mercury has no more to do with the call.
  struct State {
    State(std::shared_ptr<Instance> use_, std::shared_ptr<Peer> peer_, Handle handle_)
        : use(std::move(use_)), peer(std::move(peer_)), handle(std::move(handle_)) {}

    const std::shared_ptr<Instance> use;
    const std::shared_ptr<Peer> peer;
    const Handle handle;
    Completion completion;
  };

  std::shared_ptr<State> state_;
};

/// Tells the server that a call with this request is over, and waits until it leaves the call's
/// memory alone. The answer tells its clock, too. False if none came in time.
bool ask_whether_over(const Target& target, std::uint64_t client, std::uint64_t call, Bytes request,
                      TimePoint deadline);

}  // namespace parsl_tl::mochi
