#include "bare_flight.hpp"

#include <arrow/array/data.h>
#include <arrow/buffer.h>
#include <arrow/flight/client.h>
#include <arrow/flight/server.h>
#include <arrow/record_batch.h>
#include <arrow/result.h>
#include <arrow/type.h>

#include <algorithm>
#include <chrono>
#include <mutex>

#include "errors.hpp"
#include "message.hpp"
#include "walk_service.hpp"

namespace parsl_tl {
namespace {

namespace fl = arrow::flight;

void check(const arrow::Status& status) {
  if (!status.ok()) throw StoreException(ErrorCode::kIo, "bare Flight: " + status.ToString());
}

template <typename T>
T value_of(arrow::Result<T> result) {
  check(result.status());
  return std::move(result).ValueUnsafe();
}

template <typename Work>
double seconds_of(Work work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

const std::shared_ptr<arrow::Schema>& bytes_schema() {
  static const auto schema = arrow::schema({arrow::field("bytes", arrow::uint8(), false)});
  return schema;
}

std::shared_ptr<arrow::RecordBatch> batch_of(std::shared_ptr<arrow::Buffer> bytes) {
  const std::int64_t rows = bytes->size();
  std::vector<std::shared_ptr<arrow::ArrayData>> columns{
      arrow::ArrayData::Make(arrow::uint8(), rows, {nullptr, std::move(bytes)}, 0)};
  return arrow::RecordBatch::Make(bytes_schema(), rows, std::move(columns));
}

/// The walk's messages are as short as the store's own.
struct WalkRequest {
  std::uint64_t model_id = 0;
  double quality = 0.0;
  std::vector<std::uint64_t> digests;
  std::vector<std::uint32_t> edges;

  WalkInput graph() const { return {digests, edges}; }
  static void fields(auto& self, auto&& field) {
    field("model_id", self.model_id);
    field("quality", self.quality);
    field("digests", self.digests);
    field("edges", self.edges);
  }
};

struct WalkReply {
  std::optional<std::uint64_t> model_id;
  std::vector<std::uint32_t> layers;

  static void fields(auto& self, auto&& field) {
    field("model_id", self.model_id);
    field("layers", self.layers);
  }
};

template <typename Message>
Message decoded(const arrow::Buffer& bytes) {
  return decode_message<Message>({bytes.data(), static_cast<std::size_t>(bytes.size())});
}

WalkRequest request_of(const WalkInput& graph) {
  return {0,
          0.0,
          {graph.digests.begin(), graph.digests.end()},
          {graph.edges.begin(), graph.edges.end()}};
}

constexpr char kAddAction[] = "add_graph";
constexpr char kWalkAction[] = "walk";

/// A buffer in batches.
class Slices final : public arrow::RecordBatchReader {
 public:
  Slices(std::shared_ptr<arrow::Buffer> bytes, std::int64_t size, std::int64_t part_bytes)
      : bytes_(std::move(bytes)), size_(size), part_bytes_(part_bytes) {}

  std::shared_ptr<arrow::Schema> schema() const override { return bytes_schema(); }
  arrow::Status ReadNext(std::shared_ptr<arrow::RecordBatch>* batch) override {
    const std::int64_t count = std::min(part_bytes_, size_ - offset_);
    *batch = count > 0 ? batch_of(arrow::SliceBuffer(bytes_, offset_, count)) : nullptr;
    offset_ += count;
    return arrow::Status::OK();
  }

 private:
  std::shared_ptr<arrow::Buffer> bytes_;
  std::int64_t size_;
  std::int64_t part_bytes_;
  std::int64_t offset_ = 0;
};

}  // namespace

class BareServer::Server final : public fl::FlightServerBase {
 public:
  explicit Server(std::size_t part_bytes) : part_bytes_(static_cast<std::int64_t>(part_bytes)) {}

  arrow::Status DoAction(const fl::ServerCallContext&, const fl::Action& action,
                         std::unique_ptr<fl::ResultStream>* results) override {
    std::vector<fl::Result> answer;
    try {
      answer.emplace_back(arrow::Buffer::FromString(this->answer(action)));
    } catch (const std::exception& error) {
      return arrow::Status::Invalid(error.what());
    }
    *results = std::make_unique<fl::SimpleResultStream>(std::move(answer));
    return arrow::Status::OK();
  }

  arrow::Status DoPut(const fl::ServerCallContext&, std::unique_ptr<fl::FlightMessageReader> reader,
                      std::unique_ptr<fl::FlightMetadataWriter>) override {
    while (true) {
      ARROW_ASSIGN_OR_RAISE(const auto chunk, reader->Next());
      if (!chunk.data) return arrow::Status::OK();
    }
  }

  arrow::Status DoGet(const fl::ServerCallContext&, const fl::Ticket& ticket,
                      std::unique_ptr<fl::FlightDataStream>* stream) override {
    const std::int64_t size = std::stoll(ticket.ticket);
    ARROW_ASSIGN_OR_RAISE(auto bytes, memory(size));
    *stream = std::make_unique<fl::RecordBatchStream>(
        std::make_shared<Slices>(std::move(bytes), size, part_bytes_));
    return arrow::Status::OK();
  }

 private:
  std::string answer(const fl::Action& action) {
    if (action.type != kAddAction && action.type != kWalkAction) return "pong";
    const auto request = decoded<WalkRequest>(*action.body);
    WalkReply reply;
    if (action.type == kAddAction) {
      walk_.add(request.model_id, request.quality, request.graph());
    } else if (auto match = walk_.match(request.graph())) {
      reply = {match->model_id, std::move(match->layers)};
    }
    std::string bytes;
    encode_message(reply, bytes);
    return bytes;
  }

  /// Made once, and grown when more is asked for.
  arrow::Result<std::shared_ptr<arrow::Buffer>> memory(std::int64_t size) {
    const std::lock_guard lock(mutex_);
    if (!memory_ || memory_->size() < size) {
      ARROW_ASSIGN_OR_RAISE(auto made, arrow::AllocateBuffer(size));
      std::fill_n(made->mutable_data(), size, std::uint8_t{1});
      memory_ = std::move(made);
    }
    return memory_;
  }

  std::int64_t part_bytes_;
  WalkService walk_;
  std::mutex mutex_;  // guards the next
  std::shared_ptr<arrow::Buffer> memory_;
};

BareServer::BareServer(const std::string& address, std::size_t part_bytes)
    : server_(std::make_unique<Server>(part_bytes)) {
  check(server_->Init(fl::FlightServerOptions(value_of(fl::Location::Parse(address)))));
}

BareServer::~BareServer() { stop(); }

std::string BareServer::address() const { return server_->location().ToString(); }

void BareServer::stop() {
  if (server_) static_cast<void>(server_->Shutdown());
  server_.reset();
}

class BareClient::Client {
 public:
  Client(const std::string& address, std::size_t part_bytes)
      : client_(value_of(fl::FlightClient::Connect(value_of(fl::Location::Parse(address))))),
        part_bytes_(static_cast<std::int64_t>(part_bytes)) {}

  void rpc() { act({"ping", nullptr}); }

  WalkReply ask(const char* action, const WalkRequest& request) {
    std::string bytes;
    encode_message(request, bytes);
    return decoded<WalkReply>(*act({action, arrow::Buffer::FromString(std::move(bytes))}));
  }

  void put(std::span<const std::uint8_t> bytes) {
    const auto size = static_cast<std::int64_t>(bytes.size());
    Slices slices(std::make_shared<arrow::Buffer>(bytes.data(), size), size, part_bytes_);
    const auto put = value_of(client_->DoPut(fl::FlightDescriptor::Command("put"), bytes_schema()));
    while (auto batch = value_of(slices.Next())) check(put.writer->WriteRecordBatch(*batch));
    check(put.writer->DoneWriting());
    check(put.writer->Close());
  }

  void get(std::uint64_t num_bytes) {
    receive(num_bytes, [](std::uint64_t, const arrow::Buffer&) {});
  }

  void get_into(std::span<std::uint8_t> out) {
    receive(out.size(), [out](std::uint64_t offset, const arrow::Buffer& part) {
      const auto room = out.subspan(offset);
      std::copy_n(part.data(), std::min<std::size_t>(room.size(), part.size()), room.data());
    });
  }

 private:
  /// Calls `take` with each part and the number of bytes before it.
  template <typename Take>
  void receive(std::uint64_t num_bytes, Take take) {
    const auto reader = value_of(client_->DoGet({std::to_string(num_bytes)}));
    std::uint64_t got = 0;
    while (const auto batch = value_of(reader->Next()).data) {
      const auto part = batch->column_data(0)->buffers.at(1);
      if (got < num_bytes) take(got, *part);
      got += static_cast<std::uint64_t>(batch->num_rows());
    }
    if (got != num_bytes) check(arrow::Status::IOError("got ", got, " of ", num_bytes, " bytes"));
  }

  std::shared_ptr<arrow::Buffer> act(const fl::Action& action) {
    const auto results = value_of(client_->DoAction(action));
    std::shared_ptr<arrow::Buffer> body;
    while (const auto result = value_of(results->Next())) body = result->body;
    return body;
  }

  std::unique_ptr<fl::FlightClient> client_;
  std::int64_t part_bytes_;
};

BareClient::BareClient(const std::string& address, std::size_t part_bytes)
    : client_(std::make_unique<Client>(address, part_bytes)) {}

BareClient::~BareClient() = default;

double BareClient::rpc() {
  return seconds_of([this] { client_->rpc(); });
}

double BareClient::put(std::span<const std::uint8_t> bytes) {
  return seconds_of([this, bytes] { client_->put(bytes); });
}

double BareClient::get(std::uint64_t num_bytes) {
  return seconds_of([this, num_bytes] { client_->get(num_bytes); });
}

double BareClient::get_into(std::span<std::uint8_t> out) {
  return seconds_of([this, out] { client_->get_into(out); });
}

void BareClient::add_graph(std::uint64_t model_id, double quality, const WalkInput& graph) {
  WalkRequest request = request_of(graph);
  request.model_id = model_id;
  request.quality = quality;
  client_->ask(kAddAction, request);
}

std::optional<WalkMatch> BareClient::walk(const WalkInput& graph) {
  WalkReply reply = client_->ask(kWalkAction, request_of(graph));
  if (!reply.model_id) return std::nullopt;
  return WalkMatch{*reply.model_id, std::move(reply.layers)};
}

}  // namespace parsl_tl
