// What anybody may answer to our clients.
#include <arrow/flight/client.h>
#include <arrow/flight/server.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>

#include "contract_ends.hpp"
#include "flight_ends.hpp"
#include "parts.hpp"

namespace parsl_tl::testing {
namespace {

namespace fl = arrow::flight;

/// A server that answers every get with these batches, and every action with nothing.
class RogueServer final : public fl::FlightServerBase {
 public:
  RogueServer(std::shared_ptr<arrow::Schema> schema, arrow::RecordBatchVector batches,
              arrow::Status end = arrow::Status::OK())
      : schema_(std::move(schema)), batches_(std::move(batches)), end_(std::move(end)) {
    CHECK(Init(fl::FlightServerOptions(*fl::Location::ForGrpcTcp("127.0.0.1", 0))).ok());
  }
  ~RogueServer() override { static_cast<void>(Shutdown()); }

  std::shared_ptr<Channel> connect() const {
    return connect_flight({"grpc+tcp://127.0.0.1:" + std::to_string(port()), 0, ""});
  }

  arrow::Status DoGet(const fl::ServerCallContext&, const fl::Ticket&,
                      std::unique_ptr<fl::FlightDataStream>* stream) override {
    ARROW_ASSIGN_OR_RAISE(auto reader, arrow::RecordBatchReader::Make(batches_, schema_));
    *stream = std::make_unique<Ending>(reader, end_);
    return arrow::Status::OK();
  }

  arrow::Status DoAction(const fl::ServerCallContext&, const fl::Action&,
                         std::unique_ptr<fl::ResultStream>* results) override {
    *results = std::make_unique<fl::SimpleResultStream>(std::vector<fl::Result>{});
    return arrow::Status::OK();
  }

 private:
  class Ending final : public fl::FlightDataStream {
   public:
    Ending(std::shared_ptr<arrow::RecordBatchReader> reader, arrow::Status end)
        : stream_(std::move(reader)), end_(std::move(end)) {}
    std::shared_ptr<arrow::Schema> schema() override { return stream_.schema(); }
    arrow::Result<fl::FlightPayload> GetSchemaPayload() override {
      return stream_.GetSchemaPayload();
    }
    arrow::Result<fl::FlightPayload> Next() override {
      ARROW_ASSIGN_OR_RAISE(auto payload, stream_.Next());
      if (!payload.ipc_message.metadata && !end_.ok()) return end_;
      return payload;
    }

   private:
    fl::RecordBatchStream stream_;
    arrow::Status end_;
  };

  std::shared_ptr<arrow::Schema> schema_;
  arrow::RecordBatchVector batches_;
  arrow::Status end_;
};

CASE(wrong_answers) {
  const auto expect_unreachable = [](const RogueServer& server) {
    for (const unsigned keep : {0U, 1U}) {
      TestDownload into({1000}, keep);
      CHECK_THROWS(download(*server.connect(), "download", into), ErrorCode::kUnreachable);
    }
  };
  const auto batch = [](std::int64_t bytes) { return as_batch(zeros(bytes)); };
  expect_unreachable(RogueServer(part_schema(), {}));
  expect_unreachable(RogueServer(part_schema(), {batch(999)}));
  expect_unreachable(RogueServer(part_schema(), {batch(500), batch(499)}));
  expect_unreachable(RogueServer(part_schema(), {batch(1001)}));
  expect_unreachable(RogueServer(part_schema(), {batch(1000), batch(1)}));
  expect_unreachable(RogueServer(part_schema(), {batch(1000)}, arrow::Status::IOError("no more")));
  expect_unreachable(RogueServer(part_schema(), {batch(500)}, arrow::Status::IOError("no more")));
  const auto schema = arrow::schema({arrow::field("part", arrow::uint16(), false)});
  expect_unreachable(RogueServer(schema, {}));

  const RogueServer server(part_schema(), {batch(400), batch(600)});
  TestDownload whole({1000});
  CHECK_EQ(download(*server.connect(), "download", whole), "");
  CHECK(whole.bytes() == Bytes(1000, 0));
  CHECK_THROWS(ask(*server.connect(), "echo"), ErrorCode::kUnreachable);
  CHECK_THROWS(upload(*server.connect(), "upload", {5 << 20}), ErrorCode::kUnreachable);
}

/// A server that ends puts well without reading them.
class HastyServer final : public fl::FlightServerBase {
 public:
  arrow::Status DoPut(const fl::ServerCallContext&, std::unique_ptr<fl::FlightMessageReader>,
                      std::unique_ptr<fl::FlightMetadataWriter>) override {
    return arrow::Status::OK();
  }
};

CASE(puts_that_end_early) {
  HastyServer server;
  CHECK(server.Init(fl::FlightServerOptions(*fl::Location::ForGrpcTcp("127.0.0.1", 0))).ok());
  const auto channel =
      connect_flight({"grpc+tcp://127.0.0.1:" + std::to_string(server.port()), 0, ""});
  for (int round = 0; round < 20; ++round) {
    for (const std::size_t size : {1UL, 3UL << 20, 40UL << 20}) {
      CHECK_THROWS(upload(*channel, "upload", {size}), ErrorCode::kUnreachable);
    }
  }
  CHECK(server.Shutdown().ok());
}

}  // namespace
}  // namespace parsl_tl::testing
