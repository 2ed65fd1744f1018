// A way to a server in this process, over memory: it cuts what travels into pieces of random sizes,
// and fails on demand.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "random.hpp"
#include "transport.hpp"

namespace parsl_tl::testing {

enum class Failure {
  kNone,
  kBeforeRequest,  // the server never hears of it
  kMidway,         // an upload or a download breaks off; like the next where there is neither
  kBeforeReply,    // the server has done it, and its reply is lost
  kBusy,           // the server has too much to do
};

/// When calls fail. Several loopbacks may share it, from several threads.
class Failures {
 public:
  explicit Failures(std::uint64_t seed = 1) : random_(seed) {}

  /// Lets a number of calls through, then a number of calls fail in this way.
  void plan(Failure failure, std::uint64_t after = 0, std::uint64_t times = 1);
  /// From now on a call fails with this probability, in one of all ways; the same one not more than
  /// three times in a row.
  void at_random(double probability);
  void stop();
  Failure next();
  /// How many calls there were.
  std::uint64_t calls();

 private:
  std::mutex mutex_;
  Random random_;
  Failure planned_ = Failure::kNone;
  std::uint64_t after_ = 0;
  std::uint64_t times_ = 0;
  double probability_ = 0.0;
  int in_a_row_ = 0;
  std::uint64_t calls_ = 0;
};

class Loopback final : public Channel {
 public:
  Loopback(std::shared_ptr<Handler> handler, std::shared_ptr<Failures> failures,
           std::uint64_t seed = 1)
      : handler_(std::move(handler)), failures_(std::move(failures)), seed_(seed) {}

  std::string call(const Call& call) override;
  /// Another server at the same address; nullptr for none, as while it is down.
  void set_handler(std::shared_ptr<Handler> handler);

 private:
  std::mutex mutex_;
  std::shared_ptr<Handler> handler_;
  const std::shared_ptr<Failures> failures_;
  const std::uint64_t seed_;
  std::atomic<std::uint64_t> calls_ = 0;
};

/// The server's side of a call without a transport: for tests that make requests themselves.
class MemoryExchange final : public Exchange {
 public:
  /// `upload` comes in pieces of random sizes. `expected` is what the client has room for.
  MemoryExchange(ConstPieces upload, std::uint64_t expected, std::uint64_t seed);

  std::span<const std::uint8_t> take() override;
  void send(const ConstPieces& pieces, std::shared_ptr<const void> owner) override;

  /// From here on the client is gone.
  void break_off_after(std::uint64_t bytes) { break_off_ = bytes; }
  std::uint64_t taken() const noexcept { return taken_; }
  bool has_sent() const noexcept { return has_sent_; }
  const ConstPieces& sent() const noexcept { return sent_; }

 private:
  ConstPieces upload_;
  std::size_t piece_ = 0;
  std::size_t at_ = 0;  // in the piece
  std::uint64_t expected_;
  Random random_;
  std::uint64_t taken_ = 0;
  std::uint64_t break_off_ = ~std::uint64_t{0};
  std::vector<std::uint8_t> lent_;
  bool has_sent_ = false;
  ConstPieces sent_;
  std::shared_ptr<const void> owner_;
};

}  // namespace parsl_tl::testing
