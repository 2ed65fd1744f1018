// Bulk transfers under way.
//
// Mercury cannot take back a transfer that it has begun: over TCP it ends only with the data or
// with the connection. A thread can give up waiting nevertheless, and then leaves behind what the
// transfer still needs: this object lives until the last one has ended.
#pragma once

#include <memory>
#include <vector>

#include "peers.hpp"

namespace parsl_tl::mochi {

class Transfers : public std::enable_shared_from_this<Transfers> {
 public:
  explicit Transfers(std::shared_ptr<Peer> peer)
      : peer_(std::move(peer)), use_(peer_->instance().use()) {}

  /// Keeps it alive until every transfer has ended.
  void keep(std::shared_ptr<const void> needed) { kept_.push_back(std::move(needed)); }

  struct Side {
    const Bulk& bulk;
    std::uint64_t offset;
  };
  /// Moves bytes from there to here (HG_BULK_PULL) or back, some time. If it cannot begin, it has
  /// failed. `during` is let go of at its end.
  void start(hg_bulk_op_t direction, Side there, Side here, std::uint64_t size,
             std::shared_ptr<const void> during = nullptr);

  /// Waits until at most this many bytes are under way. False if they are not by then, or if any
  /// transfer failed.
  bool wait_until(TimePoint deadline, std::uint64_t most_bytes = 0);
  /// As above, for a moment, and says whether there is nothing to wait for any more.
  bool is_settled_by(TimePoint moment, std::uint64_t most_bytes);

 private:
  struct One;

  void note(std::uint64_t bytes, hg_return_t result);

  const std::shared_ptr<Peer> peer_;
  const std::shared_ptr<Instance> use_;
  std::vector<std::shared_ptr<const void>> kept_;

  std::mutex mutex_;  // guards the rest
  std::condition_variable ended_;
  std::uint64_t bytes_ = 0;  // under way
  bool has_failed_ = false;
};

}  // namespace parsl_tl::mochi
