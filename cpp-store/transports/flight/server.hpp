// The Flight server behind a listener: turns actions, puts and gets into calls of a handler.
//
// gRPC gives every call a thread, so what is bounded is how many of them work (`threads`) and how
// many there are (kMostCalls). Memory: a call has its request (kMostMessageBytes at most; gRPC
// takes a message in whole before anybody can look at its size) and one part of its upload or two
// of its download, which stay in memory for as long as its client does not read; what a download
// sends belongs to its owner, of whom no copy is made. Behind that, gRPC buffers what its flow
// control allows, some megabytes for a connection.
#pragma once

#include <arrow/flight/server.h>

#include <memory>

#include "call_limit.hpp"
#include "gate.hpp"
#include "transport.hpp"

namespace parsl_tl {

/// More calls at once are refused, with an error that says so.
constexpr int kMostCalls = 1024;

class FlightServer final : public arrow::flight::FlightServerBase {
 public:
  FlightServer(std::shared_ptr<Handler> handler, unsigned threads)
      : handler_(std::move(handler)), call_limit_(threads) {
    if (!handler_->admits_everybody()) gate_ = std::make_unique<Gate>();
  }

  /// To be called once, when it listens at this port.
  void guard(std::uint16_t port) {
    if (gate_) gate_->watch(port);
  }

  arrow::Status DoAction(const arrow::flight::ServerCallContext& context,
                         const arrow::flight::Action& action,
                         std::unique_ptr<arrow::flight::ResultStream>* result) override;
  arrow::Status DoPut(const arrow::flight::ServerCallContext& context,
                      std::unique_ptr<arrow::flight::FlightMessageReader> reader,
                      std::unique_ptr<arrow::flight::FlightMetadataWriter> writer) override;
  arrow::Status DoGet(const arrow::flight::ServerCallContext& context,
                      const arrow::flight::Ticket& ticket,
                      std::unique_ptr<arrow::flight::FlightDataStream>* stream) override;

  /// Refuses calls beyond `most_calls` at once before they cost more than their thread.
  static std::shared_ptr<arrow::flight::ServerMiddlewareFactory> limit(int most_calls);

 private:
  void let_in(const arrow::flight::ServerCallContext& context,
              std::span<const std::uint8_t> request);

  std::shared_ptr<Handler> handler_;
  std::unique_ptr<Gate> gate_;
  CallLimit call_limit_;
};

}  // namespace parsl_tl
