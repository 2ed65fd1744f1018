// The client's side: one connection for each process that uses the channel.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include "errors.hpp"
#include "one_call.hpp"
#include "thallium_transport.hpp"

namespace parsl_tl {
namespace mochi {
namespace {

using namespace std::chrono_literals;

std::uint64_t random_number() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

// How long a call waits for the end of a connection that was cut, at most.
constexpr auto kCutDeadline = 300ms;

/// What a channel is in one process. A child that inherits it makes its own.
struct Connection {
  const ::pid_t process = ::getpid();
  const std::uint64_t client = random_number();
  std::mutex mutex;  // guards the rest
  std::shared_ptr<Instance> instance;
  hg_id_t rpc = 0;
};

class ThalliumChannel : public Channel {
 public:
  explicit ThalliumChannel(const ConnectOptions& options)
      : options_(options),
        protocol_(protocol_of(options.address)),
        has_no_connections_(protocol_ == "na+sm" || protocol_ == "sm") {}

  ~ThalliumChannel() override {
    Connection* connection = connection_;
    if (connection != nullptr && connection->process == ::getpid()) delete connection;
  }

  std::string call(const Call& call) override;

 private:
  Connection& connection();
  Target target(TimePoint deadline);
  std::optional<std::string> attempt(const Call& call, TimePoint deadline);
  void wait_until(TimePoint deadline);

  const ConnectOptions options_;
  const std::string protocol_;
  // The server reaches into this process's memory by itself; there is nothing that could be closed.
  const bool has_no_connections_;
  std::atomic<Connection*> connection_{nullptr};
  std::atomic<std::uint64_t> next_call_{1};
};

Connection& ThalliumChannel::connection() {
  Connection* found = connection_;
  while (found == nullptr || found->process != ::getpid()) {
    auto* made = new Connection;
    if (connection_.compare_exchange_strong(found, made)) return *made;
    delete made;
  }
  return *found;
}

Target ThalliumChannel::target(TimePoint deadline) {
  Connection& here = connection();
  {
    const std::lock_guard guard(here.mutex);
    if (!here.instance) {
      here.instance = Instance::of_clients(protocol_);
      here.rpc = register_for_calls(*here.instance, options_.provider_id);
    }
  }
  auto peer = here.instance->peers().find(*here.instance, options_.address, deadline);
  return {std::move(peer), here.rpc, options_.provider_id};
}

/// A call that gave up early, with the others to a peer that was cut, has told the server a
/// deadline that is not over yet.
void ThalliumChannel::wait_until(TimePoint deadline) {
  while (Clock::now() < deadline && !connection().instance->is_ending()) {
    std::this_thread::sleep_until(std::min(deadline, Clock::now() + kGlance));
  }
}

std::optional<std::string> ThalliumChannel::attempt(const Call& call, TimePoint deadline) {
  Target to = target(deadline);
  const std::uint64_t client = connection().client;
  const std::uint64_t number = next_call_++;
  try {
    if (!to.peer->clock().at(deadline) &&
        !ask_whether_over(to, client, number, call.request, deadline)) {
      to.peer->cut();
      throw StoreException(ErrorCode::kUnreachable,
                           "no answer within " + std::to_string(call.timeout.count()) + " ms");
    }
    auto reply = OneCall(to, call, deadline, client, number).run();
    if (!reply) to.peer->clock().forget();
    return reply;
  } catch (const StoreException&) {
    if (to.peer->is_cut()) {
      const auto end = to.peer->end();
      to.peer.reset();
      connection().instance->peers().drop(options_.address);
      end->wait_until(Clock::now() + kCutDeadline);
      if (has_no_connections_) wait_until(deadline);
    }
    throw;
  }
}

std::string ThalliumChannel::call(const Call& call) {
  if (call.request.size() > kMostMessageBytes) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "a request of " + std::to_string(call.request.size()) + " bytes; " +
                             std::to_string(kMostMessageBytes) + " are allowed");
  }
  const TimePoint deadline = Clock::now() + call.timeout;
  try {
    // The second time with what the first has told of the server's clock.
    for (int i = 0; i < 2 && Clock::now() < deadline; ++i) {
      if (auto reply = attempt(call, deadline)) return *std::move(reply);
    }
    throw StoreException(ErrorCode::kUnreachable, "it was reached too late");
  } catch (const StoreException& error) {
    if (error.code() == ErrorCode::kFormat) {
      throw StoreException(error.code(), options_.address + ": " + error.what());
    }
    if (error.code() != ErrorCode::kUnreachable && error.code() != ErrorCode::kIo) throw;
    throw StoreException(error.code(), options_.address + " cannot be reached: " + error.what());
  }
}

}  // namespace
}  // namespace mochi

std::shared_ptr<Channel> connect_thallium(const ConnectOptions& options) {
  return std::make_shared<mochi::ThalliumChannel>(options);
}

}  // namespace parsl_tl
