// One call, from its arguments to its reply.
//
// What holds after a call has failed, say at its deadline: nothing moves into the caller's memory
// or out of it any more. The server begins no transfer after the deadline that the call states, by
// its own clock. Then the client asks it whether it has ended those that it had begun, for which a
// tenth of the call's time is kept back. A server that does not answer even that question is dead,
// stopped or cut off: all calls to it give up, and its connection is closed, so that the rest of a
// transfer that it was stopped in does not come when it goes on. Last, the memory's keys are
// withdrawn. Over na+sm, which has no connections, a call that gives up with others waits until its
// own deadline is over.
//
// What is left: libfabric closes connections only if it was set to when it started, which this
// transport does at its first use (see argobots_thread.cpp); whoever starts it before sets
// FI_AV_REMOVE_CLEANUP=1. And over na+sm, a server that is stopped just between its look at the
// clock and its copy of a part does that copy when it goes on.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "outgoing_call.hpp"
#include "registered_memory.hpp"

namespace parsl_tl::mochi {

/// How soon a waiting call sees that it is to give up.
constexpr std::chrono::milliseconds kGlance{100};

/// A longer reply is none of a store's.
constexpr std::uint64_t kMostReplyBytes = 1 << 30;

class OneCall {
 public:
  /// The client's number, and the number of the call among the client's.
  OneCall(Target target, const Call& call, TimePoint deadline, std::uint64_t client,
          std::uint64_t number);

  /// The reply; nothing if the server says that it came too late, which is another word for that
  /// its clock is not known. Throws StoreException with the reason alone.
  std::optional<std::string> run();

 private:
  void lay_open();
  void count_pieces();
  /// Sends the message that begins with these arguments, and reads the answer.
  void exchange(Arguments& arguments, const std::vector<Bytes>& parts,
                const std::function<void(const Answer&)>& read);
  /// The reply that did not fit into the answer.
  void fetch_reply(std::uint64_t size);
  /// By when the answer has to be there.
  TimePoint answer_deadline() const;
  bool must_give_up() const;
  bool wait(OutgoingCall& outgoing) const;
  /// Makes sure that the memory is left alone.
  void abandon();
  void take(const Answer& answer);
  void scatter(Bytes download);

  const Target target_;
  const Call& call_;
  const TimePoint deadline_;
  Arguments arguments_;
  std::vector<Bytes> in_message_;  // request and upload, as far as they fit
  std::string list_;               // of pieces, if it does not fit
  RegisteredMemory memory_;
  std::optional<std::string> reply_;
  std::uint64_t held_bytes_ = 0;  // of a reply that the server keeps
  RegisteredMemory reply_memory_;
};

}  // namespace parsl_tl::mochi
