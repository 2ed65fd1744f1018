// Starts and stops Flight servers.
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "address.hpp"
#include "errors.hpp"
#include "flight.hpp"
#include "logging.hpp"
#include "server.hpp"
#include "stalled_connections.hpp"
#include "unix_socket.hpp"

namespace parsl_tl {
namespace {

namespace fl = arrow::flight;

/// Why nobody can listen there, as errno; 0 if it is not the address. gRPC does not tell.
int error_of_binding(const FlightAddress& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address.port);
  if (::getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found) != 0) {
    return EADDRNOTAVAIL;
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  const int fd = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool bound = ::bind(fd, found->ai_addr, found->ai_addrlen) == 0 && ::listen(fd, 1) == 0;
  const int error = bound ? 0 : errno;
  ::close(fd);
  return error;
}

[[noreturn]] void throw_not_listening(const FlightAddress& address, const arrow::Status& status) {
  const int error = address.is_unix() ? 0 : error_of_binding(address);
  if (error != 0) throw_errno(error, "cannot listen at", address.text);
  if (address.tls) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "cannot listen at " + address.text +
                             ": certificate and key must be PEM texts that belong together");
  }
  throw StoreException(ErrorCode::kIo,
                       "cannot listen at " + address.text + ": " + status.message());
}

void check_certificate(const FlightAddress& address, const ListenOptions& options) {
  const bool given = !options.certificate.empty() && !options.key.empty();
  if (address.tls && !given) {
    throw StoreException(ErrorCode::kInvalidValue,
                         address.text + " needs a certificate and its key, as PEM texts");
  }
  if (!address.tls && (!options.certificate.empty() || !options.key.empty())) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "a certificate was given, and " + address.text +
                             " does not use one; take grpc+tls://host:port");
  }
}

/// Lets a server stop that has clients who take nothing any more: from a time on, they are cut off.
class Cutter {
 public:
  Cutter(FlightAddress address, std::chrono::system_clock::time_point from)
      : address_(std::move(address)),
        thread_([this, from](const std::stop_token& stop) { run(from, stop); }) {}

 private:
  void run(std::chrono::system_clock::time_point from, const std::stop_token& stop) {
    constexpr std::chrono::milliseconds kAgain{250};
    std::unique_lock lock(mutex_);
    const auto is_over = [&stop] { return stop.stop_requested(); };
    for (auto next = from; !wake_.wait_until(lock, stop, next, is_over);
         next = std::chrono::system_clock::now() + kAgain) {
      cut_stalled_connections(address_, Side::kServer);
    }
  }

  FlightAddress address_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;  // last, so that it ends first
};

class FlightListener final : public Listener {
 public:
  FlightListener(const ListenOptions& options, std::shared_ptr<Handler> handler)
      : address_(parse_flight_address(options.address)),
        bound_(address_),
        server_(std::make_unique<FlightServer>(std::move(handler), options.threads)) {
    check_certificate(address_, options);
    if (address_.is_unix())
      bound_.path = file_.emplace(address_.path, options.shared).hidden_path();
    fl::FlightServerOptions server_options(bound_.location());
    if (address_.tls) server_options.tls_certificates = {{options.certificate, options.key}};
    server_options.middleware = {{"parsl_tl.limit", FlightServer::limit(kMostCalls)}};
    const arrow::Status started = server_->Init(server_options);
    if (!started.ok()) throw_not_listening(address_, started);
    if (file_) file_->publish();
    if (!address_.is_unix()) {
      bound_.port = server_->port();
      server_->guard(static_cast<std::uint16_t>(bound_.port));
    }
  }

  ~FlightListener() override { stop(std::chrono::milliseconds(0)); }

  std::string address() const override {
    if (address_.is_unix()) return address_.text;
    return address_.text.substr(0, address_.text.rfind(':') + 1) + std::to_string(bound_.port);
  }

  void stop(std::chrono::milliseconds deadline) override {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    stopped_ = true;
    file_.reset();
    constexpr std::chrono::milliseconds kForever = std::chrono::hours(24 * 365);
    const auto end = std::chrono::time_point_cast<std::chrono::system_clock::duration>(
        std::chrono::system_clock::now() +
        std::clamp(deadline, std::chrono::milliseconds(0), kForever));
    // After that, every stream is cut; only what a handler computes is still waited for, because
    // it may not outlive what it works on.
    const Cutter cutter(bound_, end + std::chrono::milliseconds(200));
    static_cast<void>(server_->Shutdown(&end));
  }

 private:
  FlightAddress address_;
  FlightAddress bound_;  // with the port that was picked, or the path before it got its name
  std::unique_ptr<FlightServer> server_;
  std::optional<UnixSocketFile> file_;
  std::mutex mutex_;  // guards the next
  bool stopped_ = false;
};

}  // namespace

std::shared_ptr<Listener> listen_flight(const ListenOptions& options,
                                        std::shared_ptr<Handler> handler) {
  silence_grpc();
  return std::make_shared<FlightListener>(options, std::move(handler));
}

}  // namespace parsl_tl
