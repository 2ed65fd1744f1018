// One server, as a client sees it: requests with time-outs, retries and an error that names it.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "frame.hpp"
#include "membership.hpp"
#include "requests/hello.hpp"
#include "store_id.hpp"
#include "transport.hpp"

namespace parsl_tl {

struct ConnectionOptions {
  Token token{};
  bool read_only = false;
  std::chrono::milliseconds timeout{30'000};    // of one call; bulk data gets more by its size
  std::chrono::milliseconds retry_for{10'000};  // for how long a call that fails is tried again
  std::chrono::milliseconds pause{50};          // before the second try; then twice as long, ...
  // For how long calls fail at once after that: whoever asks for the next model need not wait too.
  std::chrono::milliseconds rest{5'000};
  bool maps_segments = true;  // where the server is on this machine
};

/// Bulk data beside a request.
struct Bulk {
  ConstPieces upload;
  Download* download = nullptr;
};

class ServerConnection {
 public:
  /// `membership` is what the client takes the server for; a count of 0 makes no claim.
  ServerConnection(std::shared_ptr<Channel> channel, std::string address, ClientId client,
                   Membership membership, ConnectionOptions options)
      : channel_(std::move(channel)),
        address_(std::move(address)),
        client_(client),
        membership_(membership),
        options_(options) {}

  const std::string& address() const noexcept { return address_; }
  std::uint32_t index() const noexcept { return membership_.index; }
  const ConnectionOptions& options() const noexcept { return options_; }

  /// Throws StoreException: what the server replied, or kUnreachable, naming the server. `repeated`
  /// becomes true if the request was sent again to a server that was started anew in between: it
  /// may have been done before, and the server knows nothing of that.
  template <typename Request>
  typename Request::Reply ask(const Request& request, const Bulk& bulk = {},
                              bool* repeated = nullptr) {
    if (Request::kKind != RequestKind::kHello) greet();
    constexpr bool kChanges = requires { Request::kChanges; };
    std::string message = start_request(header(Request::kKind, kChanges, bulk));
    encode_message(request, message);
    const std::uint64_t instance = instance_;
    const Replied replied = call(message, bulk, is_long(Request::kKind));
    if (repeated != nullptr) {
      *repeated = replied.repeated && instance_of(replied.bytes) != instance;
    }
    return decode_message<typename Request::Reply>(parse_reply(replied.bytes));
  }

  /// Says goodbye, once and without waiting for long; no error if the server is gone.
  void leave() noexcept;
  /// From now on, the server must be this one's place among these stores. What another one answers
  /// is refused, by itself or here.
  void expect(std::shared_ptr<const StoreIds> stores);
  /// The store that is expected here; the one of zeros before.
  StoreId store() const;
  /// Throws kWrongStore if another store lies in the server's folder than the one that is expected,
  /// as this machine sees it.
  void require_folder();
  /// What the server told of itself. Asked for at the first call, and after it was away.
  HelloReply facts();
  /// Whether its files can be read here.
  bool is_mapped();
  /// Another one whenever the server may have let go of what it kept for this client.
  std::uint64_t epoch() const noexcept { return epoch_; }

 private:
  struct Replied {
    std::string bytes;
    bool repeated = false;
  };
  static bool is_long(RequestKind kind);
  RequestHeader header(RequestKind kind, bool changes, const Bulk& bulk);
  Replied call(const std::string& message, const Bulk& bulk, bool is_long);
  std::string call_once(const std::string& message, const Bulk& bulk, bool is_long);
  bool writes() const noexcept { return membership_.count > 0 && !options_.read_only; }
  static bool makes_claims(RequestKind kind);
  std::shared_ptr<const StoreIds> expected() const;
  [[noreturn]] void refuse_store(const std::string& found, const std::string& folder) const;
  void check_facts(const HelloReply& facts) const;
  void refuse_while_resting();
  void greet();
  void note_answer(std::string_view reply);

  const std::shared_ptr<Channel> channel_;
  const std::string address_;
  const ClientId client_;
  const Membership membership_;
  const ConnectionOptions options_;

  std::atomic<std::uint64_t> numbers_ = 0;  // of requests that change something
  std::atomic<bool> greeted_ = false;
  std::atomic<std::uint64_t> instance_ = 0;  // of the server that answered last
  std::atomic<std::uint64_t> epoch_ = 0;
  std::atomic<std::chrono::steady_clock::time_point> heard_{};
  std::atomic<std::chrono::milliseconds> keeps_for_{std::chrono::hours(1)};
  mutable std::mutex mutex_;  // guards the next five
  std::shared_ptr<const StoreIds> expected_;
  HelloReply facts_;
  bool mapped_ = false;
  std::chrono::steady_clock::time_point rests_until_;
  std::string last_failure_;
};

}  // namespace parsl_tl
