#include "server.hpp"

#include <arrow/buffer.h>
#include <arrow/flight/server_middleware.h>
#include <arrow/ipc/dictionary.h>
#include <arrow/ipc/writer.h>
#include <arrow/result.h>
#include <arrow/type.h>

#include <atomic>

#include "exchanges.hpp"
#include "parts.hpp"
#include "wire.hpp"

namespace parsl_tl {
namespace {

namespace fl = arrow::flight;

arrow::Status client_gone() {
  return fl::MakeFlightError(fl::FlightStatusCode::Cancelled, "the client is gone");
}

/// Nothing that a client sends may end the server: what is thrown on the way becomes an error.
template <typename Work>
arrow::Status guarded(Work work) noexcept {
  try {
    return work();
  } catch (const std::exception& error) {
    return arrow::Status::UnknownError(error.what());
  }
}

arrow::Result<Head> checked_head(std::string_view text) {
  const auto head = parse_head(text);
  if (!head) return arrow::Status::Invalid("this is no request of parsl_tl");
  if (head->request.size() > kMostMessageBytes) {
    return arrow::Status::Invalid("a request has ", kMostMessageBytes, " bytes at most, this ",
                                  head->request.size());
  }
  return *head;
}

/// The reply and the parts behind it. Lives until the client has read them or is gone.
class PartStream final : public fl::FlightDataStream {
 public:
  PartStream(std::string reply, ConstPieces pieces, std::shared_ptr<const void> owner)
      : reply_(arrow::Buffer::FromString(std::move(reply))),
        parts_(std::move(pieces), std::move(owner)) {}

  std::shared_ptr<arrow::Schema> schema() override { return part_schema(); }

  arrow::Result<fl::FlightPayload> GetSchemaPayload() override {
    fl::FlightPayload payload;
    ARROW_RETURN_NOT_OK(arrow::ipc::GetSchemaPayload(
        *part_schema(), options_, arrow::ipc::DictionaryFieldMapper(*part_schema()),
        &payload.ipc_message));
    return payload;
  }

  arrow::Result<fl::FlightPayload> Next() override {
    fl::FlightPayload payload;
    ARROW_ASSIGN_OR_RAISE(auto part, parts_.next());
    if (!part) {
      if (!reply_) return payload;  // the end
      part = std::make_shared<arrow::Buffer>(nullptr, 0);
    }
    payload.app_metadata = std::move(reply_);
    reply_ = nullptr;
    ARROW_RETURN_NOT_OK(arrow::ipc::GetRecordBatchPayload(*as_batch(std::move(part)), options_,
                                                          &payload.ipc_message));
    return payload;
  }

 private:
  std::shared_ptr<arrow::Buffer> reply_;  // goes with the first part
  PartCutter parts_;
  arrow::ipc::IpcWriteOptions options_ = arrow::ipc::IpcWriteOptions::Defaults();
};

class ExcessRefusal final : public fl::ServerMiddlewareFactory {
 public:
  explicit ExcessRefusal(int most_calls) : most_calls_(most_calls) {}

  arrow::Status StartCall(const fl::CallInfo&, const fl::ServerCallContext&,
                          std::shared_ptr<fl::ServerMiddleware>* middleware) override {
    auto call = std::make_shared<Counted>(calls_);
    if (*calls_ > most_calls_) {
      return fl::MakeFlightError(
          fl::FlightStatusCode::Unavailable,
          std::string(kTooManyCalls) + ", more than " + std::to_string(most_calls_));
    }
    *middleware = std::move(call);
    return arrow::Status::OK();
  }

 private:
  /// One call that is counted for as long as it lasts.
  class Counted final : public fl::ServerMiddleware {
   public:
    explicit Counted(std::shared_ptr<std::atomic<int>> calls) : calls_(std::move(calls)) {
      ++*calls_;
    }
    ~Counted() override { --*calls_; }
    std::string name() const override { return "parsl_tl.limit"; }
    void SendingHeaders(fl::AddCallHeaders*) override {}
    void CallCompleted(const arrow::Status&) override {}

   private:
    std::shared_ptr<std::atomic<int>> calls_;
  };

  const int most_calls_;
  std::shared_ptr<std::atomic<int>> calls_ = std::make_shared<std::atomic<int>>(0);
};

}  // namespace

std::shared_ptr<fl::ServerMiddlewareFactory> FlightServer::limit(int most_calls) {
  return std::make_shared<ExcessRefusal>(most_calls);
}

void FlightServer::let_in(const fl::ServerCallContext& context,
                          std::span<const std::uint8_t> request) {
  if (gate_ && handler_->admits(request)) gate_->let_in(context.peer());
}

arrow::Status FlightServer::DoAction(const fl::ServerCallContext& context, const fl::Action& action,
                                     std::unique_ptr<fl::ResultStream>* result) {
  return guarded([&]() -> arrow::Status {
    if (action.type == kEnter && action.body) {
      let_in(context, action.body->span_as<std::uint8_t>());
      *result = std::make_unique<fl::SimpleResultStream>(std::vector<fl::Result>());
      return arrow::Status::OK();
    }
    if (action.type != kAction) {
      return arrow::Status::NotImplemented("no action '", action.type, "', only ", kAction);
    }
    const auto bytes = action.body ? std::string_view(*action.body) : std::string_view();
    if (bytes.size() > kMostMessageBytes) {
      return arrow::Status::Invalid("a request has ", kMostMessageBytes, " bytes at most, this ",
                                    bytes.size());
    }
    const std::span request(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    let_in(context, request);
    PlainExchange exchange(context);
    const CallSlot slot(call_limit_, context);
    if (!slot.held()) return client_gone();
    std::vector<fl::Result> results;
    results.emplace_back(arrow::Buffer::FromString(handler_->handle(request, exchange)));
    *result = std::make_unique<fl::SimpleResultStream>(std::move(results));
    return arrow::Status::OK();
  });
}

arrow::Status FlightServer::DoGet(const fl::ServerCallContext& context, const fl::Ticket& ticket,
                                  std::unique_ptr<fl::FlightDataStream>* stream) {
  return guarded([&]() -> arrow::Status {
    ARROW_ASSIGN_OR_RAISE(const Head head, checked_head(ticket.ticket));
    let_in(context, head.request);
    PlainExchange exchange(context, head.bulk_bytes);
    const CallSlot slot(call_limit_, context);  // not for the stream, which a client may not read
    if (!slot.held()) return client_gone();
    std::string reply = handler_->handle(head.request, exchange);
    *stream = std::make_unique<PartStream>(std::move(reply), std::move(exchange.pieces()),
                                           std::move(exchange.owner()));
    return arrow::Status::OK();
  });
}

arrow::Status FlightServer::DoPut(const fl::ServerCallContext& context,
                                  std::unique_ptr<fl::FlightMessageReader> reader,
                                  std::unique_ptr<fl::FlightMetadataWriter> writer) {
  return guarded([&]() -> arrow::Status {
    if (reader->descriptor().type != fl::FlightDescriptor::CMD) {
      return arrow::Status::Invalid("a put's descriptor is a command");
    }
    ARROW_ASSIGN_OR_RAISE(const Head head, checked_head(reader->descriptor().cmd));
    let_in(context, head.request);
    ARROW_ASSIGN_OR_RAISE(const auto schema, reader->GetSchema());
    if (!schema->Equals(*part_schema(), /*check_metadata=*/false)) {
      return arrow::Status::Invalid("a put has the schema ", part_schema()->ToString(), ", not ",
                                    schema->ToString());
    }
    CallSlot slot(call_limit_, context);
    if (!slot.held()) return client_gone();
    UploadExchange exchange(context, *reader, head.bulk_bytes, slot);
    const std::string reply = handler_->handle(head.request, exchange);
    slot.pause();
    if (!exchange.is_taken() && reply.size() <= kMostEarlyReplyBytes) {
      return fl::MakeFlightError(fl::FlightStatusCode::Failed, "the rest is not wanted",
                                 std::string(kEarlyReply) + reply);
    }
    ARROW_RETURN_NOT_OK(exchange.finish());
    return writer->WriteMetadata(*arrow::Buffer::FromString(reply));
  });
}

}  // namespace parsl_tl
