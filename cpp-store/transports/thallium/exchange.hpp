// The server's side of one call: pulls what the client sends, pushes what it asked for.
#pragma once

#include <deque>
#include <memory>

#include "message.hpp"
#include "peers.hpp"
#include "regions_in_use.hpp"
#include "transfers.hpp"
#include "transport.hpp"
#include "workers.hpp"

namespace parsl_tl::mochi {

/// What a call's transfers have in common.
struct Bounds {
  std::shared_ptr<Peer> client;
  std::shared_ptr<Workers> workers;
  std::shared_ptr<RegionInUse> memory;  // the client's; null if it laid open none
  TimePoint deadline;                   // after it nothing is begun any more

  Instance& instance() const { return client->instance(); }
  /// Throws kUnreachable when the time is up.
  void require_time() const;
  /// What keeps the client's memory guarded while it lives. Throws kUnreachable if the client has
  /// given up.
  std::shared_ptr<const void> guard() const;
  /// Waits until at most this many bytes are under way. Throws kUnreachable if they do not come.
  void wait(Transfers& transfers, std::uint64_t most_bytes = 0) const;
};

/// A stream of bytes in the client's memory, pulled part by part into registered buffers, with the
/// next parts under way while the caller looks at one.
class Puller {
 public:
  Puller(const Bounds& bounds, const std::vector<RemotePiece>& memory)
      : bounds_(bounds), memory_(memory) {}

  /// The next part, until the next call; empty at the end.
  Bytes next();
  /// Waits for what is under way.
  void finish() noexcept;

 private:
  struct Part {
    std::shared_ptr<Transfers> transfers;
    std::shared_ptr<Lease> lease;
    std::uint64_t size = 0;
  };

  bool is_at_end() const { return piece_ == memory_.size(); }
  std::shared_ptr<Lease> wait_for_buffer() const;
  void begin_part(const std::shared_ptr<Lease>& lease);
  void read_ahead();

  const Bounds& bounds_;
  const std::vector<RemotePiece>& memory_;
  std::size_t piece_ = 0;     // the next one to be pulled,
  std::uint64_t offset_ = 0;  // from here on
  std::deque<Part> parts_;    // under way, in the order of the stream
  Part current_;              // what the caller looks at
};

/// All that lies in the client's memory. Throws kUnreachable.
std::vector<std::uint8_t> pull(const Bounds& bounds, const std::vector<RemotePiece>& memory);

/// Pushes pieces into the client's memory. `owner` keeps them alive. Throws kUnreachable.
void push(const Bounds& bounds, const ConstPieces& pieces, std::shared_ptr<const void> owner,
          const std::vector<RemotePiece>& memory);

class ThalliumExchange : public Exchange {
 public:
  ThalliumExchange(Bounds bounds, const Arguments& arguments)
      : bounds_(std::move(bounds)),
        arguments_(arguments),
        upload_(bounds_, arguments.upload_memory) {}

  std::span<const std::uint8_t> take() override;
  void send(const ConstPieces& pieces, std::shared_ptr<const void> owner) override;

  /// Once the call is answered, the client's memory is its own again: waits for what is under way.
  void finish() noexcept { upload_.finish(); }

  std::uint64_t sent() const { return sent_; }
  Bytes download() const { return {download_.data(), download_.size()}; }

 private:
  const Bounds bounds_;
  const Arguments& arguments_;
  Puller upload_;
  bool is_upload_taken_ = false;  // the one that came in the message
  bool is_sent_ = false;
  std::uint64_t sent_ = 0;
  std::vector<std::uint8_t> download_;  // what goes with the answer
};

}  // namespace parsl_tl::mochi
