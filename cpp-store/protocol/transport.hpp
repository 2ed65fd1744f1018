// What a transport has to do: carry a request and its reply, and bulk data beside them.
//
// Nothing here knows what a request means, and nothing behind it knows how it travels: a transport
// is a Channel for clients and a Listener for servers, a server is a Handler, and a new request
// touches no transport.
#pragma once

#include <arrow/type_fwd.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace parsl_tl {

/// Memory in pieces that make up one stream of bytes.
using ConstPieces = std::vector<std::span<const std::uint8_t>>;
using Pieces = std::vector<std::span<std::uint8_t>>;

std::uint64_t size_of(const ConstPieces& pieces);
std::uint64_t size_of(const Pieces& pieces);

/// Where the bytes go that a server sends beside its reply.
class Download {
 public:
  virtual ~Download() = default;
  /// How many bytes are expected, exactly.
  virtual std::uint64_t size() const = 0;
  /// Takes a part of the stream as it lies in the transport's own memory, and keeps it: no copy is
  /// made. False if the part has to be written to `memory`.
  virtual bool keep(std::uint64_t offset, const std::shared_ptr<arrow::Buffer>& part) = 0;
  /// The memory for the whole stream. A transport that writes into the caller's memory itself asks
  /// only for this; one with memory of its own asks for it when a part was not kept.
  virtual const Pieces& memory() = 0;
};

/// One round trip, as a client asks for it. At most one of upload and download is set.
struct Call {
  std::span<const std::uint8_t> request;
  ConstPieces upload;            // the caller's memory, unchanged and alive until the call returns
  Download* download = nullptr;  // called by one thread at a time
  std::chrono::milliseconds timeout{30'000};
};

/// A client's way to one server. Thread-safe; calls may run at the same time.
class Channel {
 public:
  virtual ~Channel() = default;
  /// Gives the reply. Throws StoreException: kUnreachable if no whole reply came in time, for
  /// whatever reason (the server may have handled the request nevertheless); kDenied if the two
  /// sides do not trust each other (a certificate, say); kBusy if the server has more calls than it
  /// takes, and did not look at this one. After an error, the next call connects anew.
  virtual std::string call(const Call& call) = 0;
};

struct ConnectOptions {
  std::string address;            // "grpc+tcp://127.0.0.1:7000", without "?..."
  std::uint16_t provider_id = 0;  // Thallium's; others ignore it
  std::string ca_certificate;     // PEM, for grpc+tls; the system's authorities if empty
};

/// The server's side of a call, while it is handled.
class Exchange {
 public:
  virtual ~Exchange() = default;
  /// The next bytes of the upload, in order, as many as are convenient; valid until the next call.
  /// Empty at the end of what the client sends. Throws kUnreachable if the client is gone.
  virtual std::span<const std::uint8_t> take() = 0;
  /// Sends bytes beside the reply. To be called once at most; `owner` keeps the memory alive for as
  /// long as that takes, which may be longer than the call. Throws kUnreachable if the client is
  /// gone, kInvalidValue if it expects another number of bytes. A reply that tells of an error goes
  /// without: the client gets it, and its download is not touched.
  virtual void send(const ConstPieces& pieces, std::shared_ptr<const void> owner) = 0;
};

/// What a server does with requests.
class Handler {
 public:
  virtual ~Handler() = default;
  /// Gives the reply. Called from many threads at once; never throws.
  virtual std::string handle(std::span<const std::uint8_t> request,
                             Exchange& exchange) noexcept = 0;
  /// Whether who sends what begins like this is let in; a transport keeps others' messages small.
  virtual bool admits(std::span<const std::uint8_t> /*beginning*/) const noexcept { return true; }
  virtual bool admits_everybody() const noexcept { return true; }
  /// Whether a request that begins like this, and has no bulk data, is answered in microseconds and
  /// waits for nobody: the thread that received it may handle it, which saves a change of threads.
  virtual bool is_quick(std::span<const std::uint8_t> /*beginning*/) const noexcept {
    return false;
  }
};

struct ListenOptions {
  std::string address;            // port 0 picks a free one
  unsigned threads = 4;           // that handle requests
  std::uint16_t provider_id = 0;  // Thallium's; others ignore it
  std::string certificate;        // PEM, for grpc+tls
  std::string key;                // PEM
  bool shared = false;            // a socket that is a file is its group's, too
};

/// Serves a handler at an address until it is stopped.
class Listener {
 public:
  virtual ~Listener() = default;
  /// The address to connect to, with the port that was picked.
  virtual std::string address() const = 0;
  /// Takes no new requests, lets those at work come to their end until the deadline, counted from
  /// now.
  virtual void stop(std::chrono::milliseconds deadline) = 0;
};

/// How much of a request `Handler::admits` looks at.
constexpr std::size_t kBeginningBytes = 128;
/// The largest request or reply, without bulk data.
constexpr std::size_t kMostMessageBytes = 16 << 20;
/// Bulk data travels in parts of at most this many bytes.
constexpr std::size_t kPartBytes = 2 << 20;

}  // namespace parsl_tl
