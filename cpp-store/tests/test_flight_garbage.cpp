// What anybody may send to our servers.
#include <arrow/array.h>
#include <arrow/builder.h>
#include <arrow/flight/client.h>
#include <arrow/flight/server.h>
#include <arrow/flight/transport.h>
#include <arrow/ipc/writer.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/util/uri.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "contract_ends.hpp"
#include "flight_ends.hpp"
#include "parts.hpp"
#include "random.hpp"
#include "server.hpp"
#include "wire.hpp"

namespace parsl_tl::testing {
namespace {

namespace fl = arrow::flight;

Transport over_tcp() { return over_flight("grpc+tcp://127.0.0.1:0"); }

std::span<const std::uint8_t> span_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string command(std::uint64_t bytes, std::string_view request) {
  return format_head({bytes, span_of(request)});
}

fl::FlightCallOptions patient() {
  fl::FlightCallOptions options;
  options.timeout = std::chrono::seconds(20);
  return options;
}

/// A client that keeps to nothing.
class Rogue {
 public:
  explicit Rogue(const Ends& ends)
      : location_(*fl::Location::Parse(ends.listener->address())),
        client_(*fl::FlightClient::Connect(location_)),
        uri_(*arrow::util::Uri::FromString(ends.listener->address())),
        transport_(*fl::internal::GetDefaultTransportRegistry()->MakeClient(location_.scheme())) {
    CHECK(transport_->Init(fl::FlightClientOptions::Defaults(), location_, uri_).ok());
  }

  ~Rogue() { static_cast<void>(transport_->Close()); }

  arrow::Status action(const std::string& type, std::shared_ptr<arrow::Buffer> body) {
    ARROW_ASSIGN_OR_RAISE(auto results, client_->DoAction(patient(), {type, std::move(body)}));
    return results->Next().status();
  }

  arrow::Status get(const std::string& ticket) {
    ARROW_ASSIGN_OR_RAISE(auto reader, client_->DoGet(patient(), {ticket}));
    return reader->ToRecordBatches().status();
  }

  arrow::Status put(const fl::FlightDescriptor& descriptor,
                    const std::shared_ptr<arrow::RecordBatch>& batch, int times = 1) {
    ARROW_ASSIGN_OR_RAISE(auto put, client_->DoPut(patient(), descriptor, batch->schema()));
    arrow::Status status;
    for (int i = 0; i < times && status.ok(); ++i) status = put.writer->WriteRecordBatch(*batch);
    if (status.ok()) status = put.writer->DoneWriting();
    const arrow::Status closed = put.writer->Close();
    return status.ok() ? closed : status;
  }

  /// Messages below the level of record batches.
  arrow::Status put_raw(const std::vector<fl::FlightPayload>& payloads) {
    std::unique_ptr<fl::internal::ClientDataStream> stream;
    ARROW_RETURN_NOT_OK(transport_->DoPut(patient(), &stream));
    for (const auto& payload : payloads) {
      const auto written = stream->WriteData(payload);
      if (!written.ok() || !*written) break;
    }
    static_cast<void>(stream->WritesDone());
    return stream->Finish(arrow::Status::OK());
  }

 private:
  fl::Location location_;
  std::unique_ptr<fl::FlightClient> client_;
  arrow::util::Uri uri_;
  std::unique_ptr<fl::internal::ClientTransport> transport_;
};

/// The messages of a put as ours are, to be spoiled.
std::vector<fl::FlightPayload> good_payloads(std::uint64_t said, std::int64_t sent) {
  const auto options = arrow::ipc::IpcWriteOptions::Defaults();
  std::vector<fl::FlightPayload> payloads(2);
  const arrow::ipc::DictionaryFieldMapper mapper(*part_schema());
  CHECK(
      arrow::ipc::GetSchemaPayload(*part_schema(), options, mapper, &payloads[0].ipc_message).ok());
  const auto descriptor = fl::FlightDescriptor::Command(command(said, "upload"));
  payloads[0].descriptor = arrow::Buffer::FromString(*descriptor.SerializeToString());
  CHECK(arrow::ipc::GetRecordBatchPayload(*as_batch(zeros(sent)), options, &payloads[1].ipc_message)
            .ok());
  return payloads;
}

std::shared_ptr<arrow::Buffer> spoiled(const std::shared_ptr<arrow::Buffer>& buffer,
                                       Random& random) {
  std::string text = buffer ? buffer->ToString() : std::string();
  switch (random.below(4)) {
    case 0:
      return nullptr;
    case 1:
      text.resize(random.below(text.size() + 40));
      break;
    default:
      for (std::uint64_t i = random.below(8); i > 0 && !text.empty(); --i) {
        text[random.below(text.size())] = static_cast<char>(random());
      }
  }
  return arrow::Buffer::FromString(text);
}

CASE(wrong_actions) {
  const Ends ends(over_tcp());
  Rogue rogue(ends);
  CHECK(rogue.action(kAction, arrow::Buffer::FromString("echo me")).ok());
  CHECK(rogue.action(kAction, nullptr).ok());
  CHECK(rogue.action("", arrow::Buffer::FromString("echo me")).IsNotImplemented());
  CHECK(rogue.action("parsl_tl.other", nullptr).IsNotImplemented());
  CHECK(!rogue.action(std::string(100'000, 'x'), nullptr).ok());
  CHECK(!rogue.action(kAction, zeros(kMostMessageBytes + 1)).ok());
  CHECK_EQ(ask(*ends.connect(), "echo still"), "still");
}

CASE(wrong_tickets) {
  const Ends ends(over_tcp());
  Rogue rogue(ends);
  CHECK(rogue.get(command(3, "download 1 3")).ok());
  CHECK(!rogue.get("").ok());
  CHECK(!rogue.get("x").ok());
  CHECK(!rogue.get(command(3, "").substr(0, kHeadBytes - 1)).ok());
  CHECK(rogue.get(command(~std::uint64_t{0}, "download 1 3")).ok());  // answered with an error
  CHECK(!rogue.get(command(0, std::string(kMostMessageBytes + 1, 'x'))).ok());
  CHECK_EQ(ask(*ends.connect(), "echo still"), "still");
}

CASE(wrong_puts) {
  const Ends ends(over_tcp());
  Rogue rogue(ends);
  const auto good = fl::FlightDescriptor::Command(command(300, "upload"));
  CHECK(rogue.put(good, as_batch(zeros(300))).ok());
  CHECK(rogue.put(good, as_batch(zeros(100)), 3).ok());
  CHECK(rogue.put(fl::FlightDescriptor::Command(command(0, "upload")), as_batch(zeros(0))).ok());
  CHECK(!rogue.put(fl::FlightDescriptor::Command(""), as_batch(zeros(300))).ok());
  CHECK(!rogue.put(fl::FlightDescriptor::Path({"a", "b"}), as_batch(zeros(300))).ok());
  for (const std::int64_t bytes : {0, 1, 299, 301, 1 << 20}) {
    CHECK(!rogue.put(good, as_batch(zeros(bytes))).ok());
  }
  CHECK(!rogue.put(good, as_batch(zeros(300)), 2).ok());

  arrow::Int64Builder builder;
  CHECK(builder.AppendValues(std::vector<std::int64_t>(300, 1)).ok());
  const auto column = *builder.Finish();
  const auto other = arrow::RecordBatch::Make(arrow::schema({arrow::field("part", column->type())}),
                                              300, {column});
  CHECK(!rogue.put(good, other).ok());
  CHECK(!rogue
             .put(good, arrow::RecordBatch::Make(arrow::schema({}), 300,
                                                 std::vector<std::shared_ptr<arrow::Array>>{}))
             .ok());
  CHECK_EQ(ask(*ends.connect(), "echo still"), "still");
}

CASE(truncated_puts) {
  const Ends ends(over_tcp());
  Rogue rogue(ends);
  const auto good = good_payloads(1000, 1000);
  CHECK(rogue.put_raw(good).ok());
  CHECK(!rogue.put_raw({}).ok());
  CHECK(!rogue.put_raw({good[0]}).ok());
  CHECK(!rogue.put_raw({good[1]}).ok());
  CHECK(!rogue.put_raw({good[0], good[0], good[1]}).ok());
  fl::FlightPayload only_descriptor;
  only_descriptor.descriptor = good[0].descriptor;
  CHECK(!rogue.put_raw({only_descriptor}).ok());
  CHECK(rogue.put_raw({only_descriptor, good[0], good[1]}).ok());
  CHECK_EQ(ask(*ends.connect(), "echo still"), "still");
}

/// Messages that a case sends: few, or as many as GARBAGE says.
std::size_t num_messages() {
  const char* wanted = std::getenv("GARBAGE");
  return wanted != nullptr ? std::stoul(wanted) : 2000;
}

/// What this process, which is the server too, takes of memory.
std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

/// Freed memory stays with the address sanitizer for a while, which looks for leaks by itself.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kMemoryTells = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool kMemoryTells = false;
#else
constexpr bool kMemoryTells = true;
#endif
#else
constexpr bool kMemoryTells = true;
#endif

/// Sends messages, and looks whether the server's memory grows with their number.
template <typename Send>
void send_many(Send send) {
  const std::size_t count = num_messages();
  for (std::size_t i = 0; i < count / 10; ++i) send();
  const std::size_t before = resident_bytes();
  for (std::size_t i = count / 10; i < count; ++i) send();
  const std::size_t after = resident_bytes();
  std::printf("%zu messages: %zu MiB, after a tenth of them %zu MiB\n", count, after >> 20,
              before >> 20);
  if (kMemoryTells) CHECK(after < before + (64 << 20));
}

CASE(random_puts) {
  const Ends ends(over_tcp());
  Rogue rogue(ends);
  Random random(20);
  send_many([&] {
    auto payloads =
        good_payloads(random.below(3000), static_cast<std::int64_t>(random.below(3000)));
    for (auto& payload : payloads) {
      if (random.chance(0.2)) payload.descriptor = spoiled(payload.descriptor, random);
      if (random.chance(0.2)) payload.app_metadata = spoiled(payload.app_metadata, random);
      // A payload with no metadata at all cannot be written.
      if (random.chance(0.5)) {
        auto metadata = spoiled(payload.ipc_message.metadata, random);
        payload.ipc_message.metadata = metadata ? metadata : zeros(0);
      }
      for (auto& body : payload.ipc_message.body_buffers) {
        if (random.chance(0.2)) body = spoiled(body, random);
      }
      payload.ipc_message.body_length = 0;
      for (const auto& body : payload.ipc_message.body_buffers) {
        if (body) payload.ipc_message.body_length += (body->size() + 7) / 8 * 8;
      }
    }
    static_cast<void>(rogue.put_raw(payloads));
  });
  CHECK_EQ(upload(*ends.connect(), "upload", {5 << 20}), whole_upload(5 << 20));
  check_download(*ends.connect(), 1, {5 << 20});
}

CASE(random_requests) {
  const Ends ends(over_tcp());
  Rogue rogue(ends);
  Random random(21);
  send_many([&] {
    const auto bytes = random.bytes(random.below(200));
    std::string text(bytes.begin(), bytes.end());
    if (random.chance(0.5)) text = std::string(kHeadMagic) + text;
    if (random.chance(0.5)) return static_cast<void>(rogue.get(text));
    static_cast<void>(
        rogue.action(random.chance(0.5) ? kAction : text, arrow::Buffer::FromString(text)));
  });
  CHECK_EQ(ask(*ends.connect(), "echo still"), "still");
}

CASE(too_many_calls) {
  const auto handler = std::make_shared<ContractHandler>();
  FlightServer server(handler, 8);
  fl::FlightServerOptions options(*fl::Location::ForGrpcTcp("127.0.0.1", 0));
  options.middleware = {{"limit", FlightServer::limit(2)}};
  CHECK(server.Init(options).ok());
  const auto channel =
      connect_flight({"grpc+tcp://127.0.0.1:" + std::to_string(server.port()), 0, ""});
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] { CHECK_EQ(ask(*channel, "wait"), "released"); });
    }
    while (handler->waiting() < 2) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    CHECK_THROWS(ask(*channel, "echo"), ErrorCode::kBusy);
    CHECK_THROWS(upload(*channel, "upload", {5 << 20}), ErrorCode::kBusy);
    TestDownload into({5 << 20});
    CHECK_THROWS(download(*channel, download_request(1, {5 << 20}), into), ErrorCode::kBusy);
    handler->release();
  }
  CHECK_EQ(ask(*channel, "echo now"), "now");
  CHECK(server.Shutdown().ok());
}

}  // namespace
}  // namespace parsl_tl::testing
