#include "server.hpp"

#include <fcntl.h>

#include <exception>
#include <new>
#include <random>

#include "dispatch.hpp"
#include "errors.hpp"

namespace parsl_tl {
namespace {

// As long as it takes to hand a request over to another thread.
constexpr std::chrono::microseconds kQuick{10};
static_assert(kRequestHeaderBytes <= kBeginningBytes, "what is let in is told by the header");

std::uint64_t random_number() {
  std::random_device random;
  return (std::uint64_t{random()} << 32) | random();
}

}  // namespace

Server::Server(std::shared_ptr<Engine> engine, ServerOptions options)
    : engine_(std::move(engine)),
      options_(std::move(options)),
      clients_(options_.client_limits, options_.memory_limit),
      attempts_(options_.client_limits.silence),
      instance_(random_number()) {}

std::string Server::handle(std::span<const std::uint8_t> request, Exchange& exchange) noexcept {
  std::string reply = answer_or_error(request, exchange);
  set_instance(reply, instance_);
  return reply;
}

bool Server::admits(std::span<const std::uint8_t> beginning) const noexcept {
  if (!options_.token) return true;
  try {
    return are_equal(parse_request(beginning).token, *options_.token);
  } catch (const std::exception&) {
    return false;  // no request of ours; handling it tells what is wrong with it
  }
}

bool Server::is_quick(std::span<const std::uint8_t> beginning) const noexcept {
  try {
    const RequestKind kind = parse_request(beginning).kind;
    // Weights of another store's donor may have to be pulled.
    if (kind == RequestKind::kFindDonors && following() != nullptr) return false;
    // What is in memory, and was found fast lately: a large catalog, or a file that was mapped,
    // takes too long for a thread that others wait for.
    return (kind == RequestKind::kPing || kind == RequestKind::kFindDonors) &&
           lately_[find_request(kind).place].get() < kQuick;
  } catch (const std::exception&) {
    return false;
  }
}

std::string Server::answer_or_error(std::span<const std::uint8_t> request, Exchange& exchange) {
  try {
    return answer(request, exchange);
  } catch (const StoreException& error) {
    return error_reply(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return error_reply(ErrorCode::kBusy, "the server is out of memory; try again later");
  } catch (const std::exception& error) {
    return error_reply(ErrorCode::kIo, error.what());
  }
}

std::string Server::answer(std::span<const std::uint8_t> request, Exchange& exchange) {
  const RequestHeader header = parse_request(request);
  if (options_.token && !are_equal(header.token, *options_.token)) {
    throw StoreException(ErrorCode::kDenied,
                         "the token is not the server's; name the file that the server wrote by "
                         "token_file=... or ?token_file=...");
  }
  const RequestEntry& entry = find_request(header.kind);
  rate_.add();
  if (header.number != 0 || header.kind == RequestKind::kFold) idle_memory_.note_change();
  const auto begin = Clock::now();
  const bool is_recorded = options_.spans != nullptr && header.trace.is_set();
  const auto start =
      is_recorded ? std::chrono::system_clock::now() : std::chrono::system_clock::time_point();
  bool failed = true;
  std::string reply;
  const auto note = [&] {
    const auto duration = Clock::now() - begin;
    latencies_[entry.place].add(duration, failed);
    lately_[entry.place].add(duration);
    if (!is_recorded) return;
    options_.spans->add({entry.name, header.trace, start, duration, header.bulk_bytes, failed});
  };
  try {
    const auto client = clients_.heard_from(header.client);
    const Clients::Flight flight = clients_.admit(client, header.bulk_bytes);
    CallContext context = context_for(*this, header, entry, *client, exchange);
    require_claims(header, context.engine);
    reply = recent_replies_.answer(header.client, header.number, [&] {
      return entry.answer(context, request.subspan(kRequestHeaderBytes));
    });
    failed = false;
  } catch (...) {
    note();
    throw;
  }
  note();
  return reply;
}

Attempts& Server::attempts() {
  const std::lock_guard guard(attempts_mutex_);
  if (!attempts_lock_ && !options_.read_only) {
    const std::string path = engine_->folder() + "/server.lock";
    File(path, O_RDWR | O_CREAT);
    auto lock = FileLock::try_lock(path, true);
    if (!lock) {
      throw StoreException(ErrorCode::kBusy,
                           "another server serves " + engine_->folder() +
                               ", too; models that share layers with those of other servers are "
                               "stored through one of them");
    }
    attempts_lock_.emplace(std::move(*lock));
  }
  return attempts_;
}

/// That this is the server that the client takes it for.
void Server::require_claims(const RequestHeader& header, const Engine& engine) const {
  const StoreId& own = engine.store();
  if (header.store.is_set() && !(header.store == own)) {
    throw StoreException(ErrorCode::kWrongStore,
                         "the server at this address is store " + own.text() + " in " +
                             engine.folder() + ", and was store " + header.store.text() +
                             "; give it its folder back, or say that it is another one now, by "
                             "`parsl-tl store adopt`, and open the store again");
  }
  if (!header.server) return;
  const Membership here = engine.membership();
  if (!(*header.server == here)) {
    throw StoreException(ErrorCode::kInvalidValue,
                         engine.folder() + " is " + here.text() + ", and was named as " +
                             header.server->text() +
                             "; name all servers of the store, in the order in which they were "
                             "named when it was made");
  }
  if (header.stores == digest_of(*engine.stores())) return;
  throw StoreException(ErrorCode::kWrongStore,
                       engine.folder() + " is part of a store of " + text_of(*engine.stores()) +
                           " by now, which is not the one that was opened; open it again");
}

void Server::refuse_many_layers(std::size_t layers) const {
  if (layers <= options_.most_layers) return;
  throw StoreException(ErrorCode::kInvalidValue, "a model of " + std::to_string(layers) +
                                                     " layers; this server takes at most " +
                                                     std::to_string(options_.most_layers));
}

void Server::request_stop() {
  const std::lock_guard guard(stop_mutex_);
  stop_ = true;
  stop_wanted_.notify_all();
}

bool Server::wait_for_stop(std::chrono::milliseconds most) {
  idle_memory_.release_when_quiet();
  std::unique_lock lock(stop_mutex_);
  return stop_wanted_.wait_for(lock, most, [this] { return stop_; });
}

}  // namespace parsl_tl
