// A server: the engine of one folder behind requests, whichever transport carries them.
//
// It lets nobody in without the token, counts what it does, and keeps models readable for clients
// that opened them. What a request does stands in a file of its own in handlers/; dispatch.cpp
// lists them.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

#include "attempts.hpp"
#include "clients.hpp"
#include "engine.hpp"
#include "file.hpp"
#include "frame.hpp"
#include "idle_memory.hpp"
#include "metrics.hpp"
#include "recent_replies.hpp"
#include "span_log.hpp"
#include "transport.hpp"

namespace parsl_tl {

class Following;

struct ServerOptions {
  std::optional<Token> token;     // nothing: everybody is let in
  std::string version;            // of parsl_tl
  std::string durability = "os";  // what status tells
  bool read_only = false;
  bool checksums = true;           // whether the engine verifies them
  std::uint64_t memory_limit = 0;  // bytes; 0 for none
  bool keeps_in_memory = false;    // the folder is memory: what is stored counts too
  std::size_t most_layers = 1 << 16;
  std::shared_ptr<SpanLog> spans;  // nothing: none are recorded
  ClientLimits client_limits;
  std::shared_ptr<Following> following;  // null: it follows no other store
};

class Server final : public Handler {
 public:
  Server(std::shared_ptr<Engine> engine, ServerOptions options);

  std::string handle(std::span<const std::uint8_t> request, Exchange& exchange) noexcept override;
  bool admits(std::span<const std::uint8_t> beginning) const noexcept override;
  bool admits_everybody() const noexcept override { return !options_.token; }
  bool is_quick(std::span<const std::uint8_t> beginning) const noexcept override;

  /// What `stop` asks for, and what a signal handler may ask for too.
  void request_stop();
  /// True if a stop was asked for, by then at the latest. Who waits keeps house meanwhile: to be
  /// called again and again.
  bool wait_for_stop(std::chrono::milliseconds most);

  Engine& engine() noexcept { return *engine_; }
  Clients& clients() noexcept { return clients_; }
  /// Throws kBusy if another process serves the folder, too, and knows of attempts: each of the two
  /// would take the other's for over.
  Attempts& attempts();
  const ServerOptions& options() const noexcept { return options_; }
  /// Null if it follows no other store.
  Following* following() const noexcept { return options_.following.get(); }
  /// Throws kInvalidValue for a model of more layers than the server takes.
  void refuse_many_layers(std::size_t layers) const;
  Clock::time_point started() const noexcept { return started_; }
  double requests_per_second() const noexcept { return rate_.per_second(); }
  LatencyHistogram& latencies(std::size_t request) { return latencies_[request]; }
  void count_received(std::uint64_t bytes) noexcept { bytes_received_ += bytes; }
  void count_sent(std::uint64_t bytes) noexcept { bytes_sent_ += bytes; }
  std::uint64_t bytes_received() const noexcept { return bytes_received_; }
  std::uint64_t bytes_sent() const noexcept { return bytes_sent_; }

  static constexpr std::size_t kMostRequests = 64;

 private:
  std::string answer_or_error(std::span<const std::uint8_t> request, Exchange& exchange);
  std::string answer(std::span<const std::uint8_t> request, Exchange& exchange);
  void require_claims(const RequestHeader& header, const Engine& engine) const;

  std::shared_ptr<Engine> engine_;
  const ServerOptions options_;
  Clients clients_;
  Attempts attempts_;
  std::mutex attempts_mutex_;
  std::optional<FileLock> attempts_lock_;  // of the folder, from the first attempt on
  RecentReplies recent_replies_{16 << 20};
  const Clock::time_point started_ = Clock::now();
  const std::uint64_t instance_;
  std::array<LatencyHistogram, kMostRequests> latencies_;
  std::array<RecentMean, kMostRequests> lately_;  // what requests took
  RateMeter rate_;
  IdleMemory idle_memory_;
  std::atomic<std::uint64_t> bytes_received_ = 0;
  std::atomic<std::uint64_t> bytes_sent_ = 0;
  std::mutex stop_mutex_;
  std::condition_variable stop_wanted_;
  bool stop_ = false;
};

}  // namespace parsl_tl
