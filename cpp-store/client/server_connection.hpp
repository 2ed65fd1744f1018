// One server, as a client sees it: requests with time-outs, retries and an error that names it.
//
// Where replicas are named beside it, they are asked in its name while it does not answer. What
// changes something, or looks after the store, is asked of the server alone: or of a replica that
// was promoted, which is the server by its identity.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

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
  // A server that a replica stands in for is looked for as often.
  std::chrono::milliseconds rest{5'000};
  bool maps_segments = true;  // where the server is on this machine
};

/// Bulk data beside a request.
struct Bulk {
  ConstPieces upload;
  Download* download = nullptr;
};

/// A place where a server is asked.
struct Way {
  std::shared_ptr<Channel> channel;
  std::string address;
};

class ServerConnection {
 public:
  /// `ways`: to the server, then to replicas of its store. `membership` is what the client takes
  /// the server for; a count of 0 makes no claim.
  ServerConnection(std::vector<Way> ways, ClientId client, Membership membership,
                   ConnectionOptions options)
      : ways_(std::move(ways)),
        client_(client),
        membership_(membership),
        options_(std::move(options)) {}

  const std::string& address() const noexcept { return ways_.front().address; }
  std::uint32_t index() const noexcept { return membership_.index; }
  const ConnectionOptions& options() const noexcept { return options_; }

  /// Throws StoreException: what the server replied, or kUnreachable, naming the server. `repeated`
  /// becomes true if the request was sent again to a server that was started anew in between: it
  /// may have been done before, and the server knows nothing of that.
  template <typename Request>
  typename Request::Reply ask(const Request& request, const Bulk& bulk = {},
                              bool* repeated = nullptr) {
    static_assert(Request::kKind != RequestKind::kHello, "see facts()");
    constexpr bool kChanges = requires { Request::kChanges; };
    std::string message = start_request(header(Request::kKind, kChanges, bulk));
    encode_message(request, message);
    Question question{message, bulk, is_long(Request::kKind), requires { Request::kMayStandIn; }};
    const std::string reply = call(question);
    if (repeated != nullptr) {
      *repeated = question.sent > 1 && instance_of(reply) != question.instance;
    }
    return decode_message<typename Request::Reply>(parse_reply(reply));
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
  /// What the server told of itself, or a replica in its name. Asked for at the first call, and
  /// after it was away.
  HelloReply facts();
  /// Whether its files can be read here.
  bool is_mapped();
  /// Another one whenever the server may have let go of what it kept for this client: it was
  /// started anew, another one stands in for it, or it heard nothing for long.
  std::uint64_t epoch() const noexcept { return epoch_; }

 private:
  struct Question {
    std::string_view message;  // empty: whoever answers is asked who it is, and nothing more
    const Bulk& bulk;
    bool is_long = false;
    bool may_stand_in = false;
    unsigned sent = 0;           // so many times
    std::uint64_t instance = 0;  // to which it was sent first
  };
  static bool is_long(RequestKind kind);
  RequestHeader header(RequestKind kind, bool changes, const Bulk& bulk);
  std::string call(Question& question);
  std::string ask_ways(Question& question);
  std::size_t first_way(const Question& question);
  std::string ask_at(std::size_t way, Question& question);
  std::string call_once(std::size_t way, const Question& question,
                        std::chrono::milliseconds timeout);
  bool writes() const noexcept { return membership_.count > 0 && !options_.read_only; }
  static bool makes_claims(RequestKind kind);
  std::shared_ptr<const StoreIds> expected() const;
  [[noreturn]] void refuse_store(const std::string& found, const std::string& folder) const;
  void check_facts(const HelloReply& facts) const;
  /// Server and replicas may rest for different reasons: those that store, and those that ask.
  struct Rest {
    std::chrono::steady_clock::time_point until;
    std::string failure;
  };
  Rest& rest_of(const Question& question) {
    return rests_[question.may_stand_in && ways_.size() > 1 ? 1 : 0];
  }
  void refuse_while_resting(const Question& question);
  void greet();
  void greet_at(std::size_t way);
  bool is_server(std::size_t way) const;
  void note_answer(std::string_view reply);

  static constexpr int kNobody = -1;

  const std::vector<Way> ways_;
  const ClientId client_;
  const Membership membership_;
  const ConnectionOptions options_;

  std::atomic<std::uint64_t> numbers_ = 0;   // of requests that change something
  std::atomic<int> greeted_ = kNobody;       // the way to whoever told facts_
  std::atomic<std::uint64_t> instance_ = 0;  // of the server that answered last
  std::atomic<std::uint64_t> epoch_ = 0;
  std::atomic<std::chrono::steady_clock::time_point> heard_{};
  std::atomic<std::chrono::milliseconds> keeps_for_{std::chrono::hours(1)};
  mutable std::mutex mutex_;  // guards the rest
  std::shared_ptr<const StoreIds> expected_;
  HelloReply facts_;
  bool mapped_ = false;
  std::size_t way_ = 0;  // that is tried first
  std::chrono::steady_clock::time_point looks_back_;
  std::array<Rest, 2> rests_;
};

}  // namespace parsl_tl
