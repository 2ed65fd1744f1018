// The client's side of Flight.
#include <arrow/buffer.h>
#include <arrow/flight/client.h>
#include <arrow/record_batch.h>
#include <arrow/result.h>
#include <arrow/type.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>

#include "address.hpp"
#include "failures.hpp"
#include "flight.hpp"
#include "lent_memory.hpp"
#include "logging.hpp"
#include "parts.hpp"
#include "sink.hpp"
#include "watch.hpp"
#include "wire.hpp"

namespace parsl_tl {
namespace {

namespace fl = arrow::flight;

std::string to_string(const std::shared_ptr<arrow::Buffer>& buffer) {
  return buffer ? buffer->ToString() : std::string();
}

/// The reply within the error of a server that did not want the rest of an upload.
std::optional<std::string> early_reply(const arrow::Status& status) {
  const auto detail = fl::FlightStatusDetail::UnwrapStatus(status);
  if (!detail || !detail->extra_info().starts_with(kEarlyReply)) return std::nullopt;
  return detail->extra_info().substr(kEarlyReply.size());
}

/// More than a year, added to the present time, would only be too much for clocks.
std::chrono::milliseconds timeout_of(const Call& call) {
  constexpr std::chrono::milliseconds kForever = std::chrono::hours(24 * 365);
  return std::clamp(call.timeout, std::chrono::milliseconds(0), kForever);
}

fl::FlightCallOptions call_options(const Call& call) {
  fl::FlightCallOptions options;
  options.timeout = timeout_of(call);
  return options;
}

void check_authority(const FlightAddress& address, const std::string& certificate) {
  if (certificate.empty()) return;
  if (!address.tls) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "a certificate was given, and " + address.text +
                             " does not use one; take grpc+tls://host:port");
  }
  if (certificate.find("-----BEGIN CERTIFICATE-----") == std::string::npos) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "the certificate for " + address.text + " is no PEM text");
  }
}

class FlightChannel final : public Channel {
 public:
  explicit FlightChannel(const ConnectOptions& options)
      : address_(parse_flight_address(options.address)),
        location_(address_.location()),
        options_(fl::FlightClientOptions::Defaults()) {
    check_authority(address_, options.ca_certificate);
    options_.tls_root_certs = options.ca_certificate;
    options_.generic_options = {
        {"grpc.max_reconnect_backoff_ms", 1000},
        {"grpc.enable_http_proxy", 0},  // servers are neighbours: a proxy does not know them
        {"grpc.enable_retries", 0},     // a request that may have been handled is not repeated
    };
  }

  std::string call(const Call& call) override {
    if (call.request.size() > kMostMessageBytes) {
      throw StoreException(ErrorCode::kInvalidValue,
                           "a request has " + std::to_string(kMostMessageBytes) +
                               " bytes at most, this " + std::to_string(call.request.size()));
    }
    const WatchedCall watched(address_, timeout_of(call));
    if (call.download) return download(call);
    if (size_of(call.upload) > 0) return upload(call);
    return ask(call);
  }

 private:
  struct Connection {
    std::unique_ptr<fl::FlightClient> flight;
    std::atomic<bool> is_known = false;  // the server has let it in
    fl::FlightClient* operator->() const { return flight.get(); }
  };
  using Client = std::shared_ptr<Connection>;

  Client client() {
    const std::lock_guard lock(mutex_);
    if (!client_) {
      auto made = fl::FlightClient::Connect(location_, options_);
      if (!made.ok()) throw flight_failure(made.status(), address_.text);
      client_ = std::make_shared<Connection>();
      client_->flight = std::move(*made);
    }
    return client_;
  }

  /// With much to send, says first who sends it.
  Client client_for(const Call& call) {
    constexpr std::size_t kLittle = 16 << 10;
    Client client = this->client();
    if (call.request.size() + size_of(call.upload) <= kLittle || client->is_known) return client;
    const auto beginning = call.request.first(std::min(call.request.size(), kBeginningBytes));
    const fl::Action action{
        kEnter, std::make_shared<arrow::Buffer>(beginning.data(),
                                                static_cast<std::int64_t>(beginning.size()))};
    const auto results = value_of(client, (*client)->DoAction(call_options(call), action));
    static_cast<void>(value_of(client, results->Next()));
    client->is_known = true;
    return client;
  }

  /// The next call connects anew. gRPC would wait before it tries again, and might go on with a
  /// connection that a network has forgotten.
  [[noreturn]] void fail(const Client& failed, const arrow::Status& status) {
    {
      const std::lock_guard lock(mutex_);
      if (client_ == failed) client_.reset();
    }
    throw flight_failure(status, address_.text);
  }

  template <typename T>
  T value_of(const Client& client, arrow::Result<T> result) {
    if (!result.ok()) fail(client, result.status());
    return std::move(result).ValueUnsafe();
  }

  std::string ask(const Call& call) {
    const Client client = client_for(call);
    const fl::Action action{
        kAction, std::make_shared<arrow::Buffer>(call.request.data(),
                                                 static_cast<std::int64_t>(call.request.size()))};
    const auto results = value_of(client, (*client)->DoAction(call_options(call), action));
    const auto result = value_of(client, results->Next());
    if (!result) throw broken_stream(address_.text, "the server gave none");
    // The end has to be read too: a call that is left before is cancelled.
    if (value_of(client, results->Next())) {
      throw broken_stream(address_.text, "the server gave several");
    }
    return to_string(result->body);
  }

  std::string upload(const Call& call) {
    const LentMemory lent;  // first, so that it ends last
    const Client client = client_for(call);
    const auto command =
        fl::FlightDescriptor::Command(format_head({size_of(call.upload), call.request}));
    auto put = value_of(client, (*client)->DoPut(call_options(call), command, part_schema()));
    PartCutter parts(call.upload, lent.token());
    std::shared_ptr<arrow::Buffer> reply;
    arrow::Status status = write_all(*put.writer, parts);
    if (status.ok()) status = put.writer->DoneWriting();
    if (status.ok()) status = put.reader->ReadMetadata(&reply);
    const arrow::Status closed = put.writer->Close();
    if (status.ok()) status = closed;
    if (auto early = early_reply(status)) return *early;
    if (auto early = early_reply(closed)) return *early;
    if (!status.ok()) fail(client, status);
    if (!reply) throw broken_stream(address_.text, "the server gave none");
    return to_string(reply);
  }

  static arrow::Status write_all(fl::FlightStreamWriter& writer, PartCutter& parts) {
    while (true) {
      ARROW_ASSIGN_OR_RAISE(auto part, parts.next());
      if (!part) return arrow::Status::OK();
      ARROW_RETURN_NOT_OK(writer.WriteRecordBatch(*as_batch(std::move(part))));
    }
  }

  std::string download(const Call& call) {
    const Client client = client_for(call);
    const fl::Ticket ticket{format_head({call.download->size(), call.request})};
    const auto reader = value_of(client, (*client)->DoGet(call_options(call), ticket));
    try {
      return read_all(client, *reader, *call.download);
    } catch (...) {
      // What else the server sends is not waited for.
      reader->Cancel();
      throw;
    }
  }

  std::string read_all(const Client& client, fl::FlightStreamReader& reader, Download& download) {
    const auto schema = value_of(client, reader.GetSchema());
    if (!schema->Equals(*part_schema(), /*check_metadata=*/false)) {
      throw broken_stream(address_.text, "its schema is " + schema->ToString());
    }
    std::optional<std::string> reply;
    Sink sink(download, address_.text);
    while (true) {
      const auto chunk = value_of(client, reader.Next());
      if (!chunk.data) break;
      if (!reply) reply = to_string(chunk.app_metadata);
      sink.take(value_of(client, part_of(*chunk.data)));
    }
    sink.finish();
    if (!reply) throw broken_stream(address_.text, "the server gave none");
    return *reply;
  }

  FlightAddress address_;
  fl::Location location_;
  fl::FlightClientOptions options_;
  std::mutex mutex_;  // guards the next
  Client client_;
};

}  // namespace

std::shared_ptr<Channel> connect_flight(const ConnectOptions& options) {
  silence_grpc();
  return std::make_shared<FlightChannel>(options);
}

}  // namespace parsl_tl
