// A server, asked by clients that say anything: who is let in, what is refused, what is counted.
#include <arrow/api.h>

#include <algorithm>
#include <condition_variable>
#include <thread>

#include "check.hpp"
#include "server_fixture.hpp"
#include "store_ids.hpp"

namespace parsl_tl::testing {
namespace {

ServerOptions with_token() {
  ServerOptions options;
  options.token.emplace();
  for (std::size_t i = 0; i < options.token->size(); ++i) {
    (*options.token)[i] = static_cast<std::uint8_t>(100 + i);
  }
  return options;
}

CASE(server_lets_nobody_in_without_the_token) {
  ServerFixture fixture(with_token());
  RawClient client(fixture.server);
  const auto model = fixture.model(1);
  const auto is_denied = [&] {
    for_each_request([&]<typename Request>() {
      const Bytes upload(100);
      MemoryExchange exchange({upload}, 0, 1);
      CHECK_THROWS(client.ask(Request{}, exchange, 100), ErrorCode::kDenied);
      CHECK_EQ(exchange.taken(), 0U);
    });
    CHECK_THROWS(put(client, model->request), ErrorCode::kDenied);
    client.header.server = Membership{1, 2};
    CHECK_THROWS(client.ask(PingRequest{}), ErrorCode::kDenied);
    client.header.server.reset();
    CHECK_EQ(fixture.engine->num_models(), 0U);
    CHECK(fixture.engine->membership().is_alone());
    CHECK_EQ(fixture.server.clients().count(), 0U);
    CHECK(!fixture.server.wait_for_stop(std::chrono::milliseconds(0)));
  };
  is_denied();  // none
  const Token right = *with_token().token;
  for (std::size_t i = 0; i < right.size(); i += 31) {
    client.header.token = right;
    client.header.token[i] ^= 1;
    is_denied();
  }
  client.header.token = right;
  put(client, model->request);
  const StatusReply status = client.ask(StatusRequest{});
  CHECK_EQ(status.names.size(), 1U);  // what was denied is not counted
  CHECK_EQ(status.models, 1U);
}

CASE(server_says_of_pings_that_they_are_quick_and_of_puts_that_they_are_not) {
  ServerFixture fixture;
  RawClient client(fixture.server);
  const auto is_quick = [&](RequestKind kind) {
    const std::string request = start_request({.kind = kind});
    return fixture.server.is_quick(as_bytes(request));
  };
  CHECK(!is_quick(RequestKind::kPing));  // nothing is known yet
  for (int i = 0; i < 1'000'000 && !is_quick(RequestKind::kPing); ++i) client.ask(PingRequest{});
  CHECK(is_quick(RequestKind::kPing));
  CHECK(!is_quick(RequestKind::kPut));
  CHECK(!fixture.server.is_quick({}));
}

CASE(server_without_a_token_lets_everybody_in) {
  ServerFixture fixture;
  RawClient client(fixture.server);
  client.ask(PingRequest{});
  client.header.token = *with_token().token;
  client.ask(PingRequest{});
}

CASE(server_refuses_what_is_no_request) {
  ServerFixture fixture;
  Random random(1);
  MemoryExchange exchange({}, 0, 1);
  const auto refused = [&](const std::string& request, ErrorCode code) {
    CHECK_THROWS(parse_reply(fixture.server.handle(as_bytes(request), exchange)), code);
  };
  refused("", ErrorCode::kInvalidValue);
  refused(std::string(1000, 'x'), ErrorCode::kInvalidValue);
  for (const int kind : {0, 6, 46, 999, 65535}) {
    RequestHeader header;
    header.kind = static_cast<RequestKind>(kind);
    refused(start_request(header), ErrorCode::kInvalidValue);
  }
  for_each_request([&]<typename Request>() {
    RequestHeader header;
    header.kind = Request::kKind;
    const std::string request = start_request(header) + encoded(Request{});
    // A message without fields has no bytes.
    if (request.size() > kRequestHeaderBytes) {
      refused(request.substr(0, kRequestHeaderBytes), ErrorCode::kInvalidValue);
    }
    refused(request.substr(0, request.size() - 8), ErrorCode::kInvalidValue);
    refused(request + "more", ErrorCode::kInvalidValue);
  });
  CHECK(!fixture.server.wait_for_stop(std::chrono::milliseconds(0)));
}

CASE(server_limits_the_layers_of_a_model) {
  ServerOptions options;
  options.most_layers = 2;
  ServerFixture fixture(options);
  RawClient client(fixture.server);
  const auto model = fixture.model(1);
  CHECK_THROWS(put(client, model->request), ErrorCode::kInvalidValue);
  CHECK_THROWS(
      client.ask(HoldMessage{1, model->request.layer_keys, model->request.layer_names, {3, 3, 3}}),
      ErrorCode::kInvalidValue);
  PutArchitecturesRequest many{{1, 2},       {0, 0},    {0, 0},    {0, 0}, {0, 1, 4}, {1, 2, 3, 4},
                               {0, 0, 0, 0}, {"Dense"}, {0, 0, 0}, {},     {}};
  CHECK_THROWS(client.ask(many), ErrorCode::kInvalidValue);
  many.layer_starts = {0, 2, 4};
  client.ask(many);
  many.layer_starts = {0, 4, 2};
  CHECK_THROWS(client.ask(many), ErrorCode::kInvalidValue);
  many.layer_starts = {0, 2, 4};
  many.class_names = {std::string(256, 'c')};
  CHECK_THROWS(client.ask(many), ErrorCode::kInvalidValue);
  CHECK_EQ(fixture.engine->num_models(), 2U);
}

/// They would stand in the log, and nobody could read it any more.
CASE(server_refuses_texts_that_are_no_utf8) {
  ServerFixture fixture;
  RawClient client(fixture.server);
  const auto model = fixture.model(1);
  const std::string name = format_layer_name("D\xFF", sample_hash(2, 0));
  PutRequest wrong = model->request;
  wrong.attributes = "{\xFF}";
  CHECK_THROWS(put(client, wrong), ErrorCode::kInvalidValue);
  wrong = model->request;
  wrong.layer_names[2] = name;
  CHECK_THROWS(put(client, wrong), ErrorCode::kInvalidValue);
  CHECK_THROWS(client.ask(PutArchitecturesRequest{
                   {1}, {0}, {0}, {0}, {0, 1}, {1}, {0}, {"D\xFF"}, {0, 0}, {}, {}}),
               ErrorCode::kInvalidValue);
  put(client, model->request);
  CHECK_EQ(fixture.engine->verify().problems.size(), 0U);

  ServerFixture part;
  RawClient other(part.server);
  join_as(*part.engine, {1, 2});
  put(other, model->request);
  CHECK_THROWS(other.ask(HoldMessage{2, {sample_key(2)}, {name}, {1}, 1, made_up_store(0).text()}),
               ErrorCode::kInvalidValue);
  CHECK_EQ(part.engine->verify().problems.size(), 0U);
}

/// An upload that waits in the middle until it is let on.
class WaitingUpload final : public Exchange {
 public:
  explicit WaitingUpload(ConstPieces upload) : inner_(std::move(upload), 0, 1) {}
  std::span<const std::uint8_t> take() override {
    std::unique_lock lock(mutex_);
    is_waiting_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return goes_on_; });
    return inner_.take();
  }
  void send(const ConstPieces&, std::shared_ptr<const void>) override {}
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_waiting_; });
  }
  void go_on() {
    const std::lock_guard guard(mutex_);
    goes_on_ = true;
    changed_.notify_all();
  }

 private:
  MemoryExchange inner_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_waiting_ = false;
  bool goes_on_ = false;
};

/// Has a put wait in the middle, and does something meanwhile.
void while_storing(ServerFixture& fixture, std::uint64_t id, const std::function<void()>& act,
                   std::uint64_t number = 0) {
  const auto model = fixture.model(id);
  WaitingUpload upload(upload_of(model->request));
  std::thread storing([&] {
    RawClient client(fixture.server, 9);
    client.header.number = number;
    client.ask(message_of(model->request), upload, size_of(upload_of(model->request)));
  });
  upload.wait();
  act();
  upload.go_on();
  storing.join();
  CHECK(fixture.engine->contains(id));
  CHECK_EQ(fixture.server.clients().bytes_in_flight(), 0U);
}

std::uint64_t bytes_of_model(std::uint64_t id) {
  return size_of(upload_of(ServerFixture::model(id)->request));
}

CASE(server_limits_bytes_in_flight) {
  ServerOptions options;
  options.client_limits.bytes_in_flight = bytes_of_model(1) + 100;
  options.memory_limit = bytes_of_model(1) + 200;
  ServerFixture fixture(options);
  RawClient same(fixture.server, 9), other(fixture.server, 2);
  const auto ping = [](RawClient& client, std::uint64_t bytes) {
    MemoryExchange exchange({}, 0, 1);
    client.ask(PingRequest{}, exchange, bytes);
  };
  // By itself too much, whoever else is there.
  for (const std::uint64_t bytes : {bytes_of_model(1) + 101, ~std::uint64_t{0}}) {
    CHECK_THROWS(ping(same, bytes), ErrorCode::kInvalidValue);
  }
  ping(same, bytes_of_model(1) + 100);
  while_storing(fixture, 1, [&] {
    CHECK_EQ(fixture.server.clients().bytes_in_flight(), bytes_of_model(1));
    ping(same, 100);
    CHECK_THROWS(ping(same, 101), ErrorCode::kBusy);
    ping(other, 200);
    CHECK_THROWS(ping(other, 201), ErrorCode::kBusy);
  });
  ping(other, bytes_of_model(1) + 100);
}

CASE(server_in_memory_is_full_or_busy) {
  ServerOptions options;
  options.keeps_in_memory = true;
  options.memory_limit = 3 * bytes_of_model(1) + (1 << 20);
  ServerFixture fixture(options);
  RawClient client(fixture.server);
  const auto model = fixture.model(1);
  put(client, model->request);
  // Many bytes that others have on their way are a matter of time.
  PutMessage announced = message_of(fixture.model(2)->request);
  announced.tensor_layers = {0};
  announced.tensor_dtypes = {"uint8"};
  announced.tensor_sizes = {options.memory_limit - fixture.engine->bytes_segments()};
  announced.tensor_shapes = {{static_cast<std::int64_t>(announced.tensor_sizes[0])}};
  const auto announce = [&] {
    MemoryExchange nothing({}, 0, 1);
    client.ask(announced, nothing, announced.tensor_sizes[0]);
  };
  CHECK_THROWS(announce(), ErrorCode::kInvalidValue);  // taken, but nothing comes
  while_storing(fixture, 3, [&] { CHECK_THROWS(announce(), ErrorCode::kBusy); });
  CHECK_THROWS(announce(), ErrorCode::kFull);
  fixture.engine->retire(3);
  CHECK_THROWS(announce(), ErrorCode::kInvalidValue);
}

CASE(server_counts_what_it_does) {
  ServerOptions options;
  options.version = "1.2.3";
  options.durability = "disk";
  options.memory_limit = 1 << 30;
  ServerFixture fixture(options);
  RawClient client(fixture.server), other(fixture.server, 2);
  const auto model = fixture.model(1);
  put(client, model->request);
  CHECK_THROWS(put(other, model->request), ErrorCode::kExists);
  client.ask(OpenModelRequest{1, {}, 5, false});
  CHECK(is_readable(client, 1, 0));
  for (int i = 0; i < 7; ++i) other.ask(PingRequest{});
  const StatusReply status = client.ask(StatusRequest{});
  CHECK_EQ(status.version, "1.2.3");
  CHECK_EQ(status.durability, "disk");
  CHECK_EQ(status.process_id, static_cast<std::uint64_t>(::getpid()));
  CHECK_EQ(status.folder, fixture.engine->folder());
  CHECK_EQ(status.server_count, 1U);
  CHECK_EQ(status.models, 1U);
  CHECK_EQ(status.bytes_live, bytes_of_model(1));
  CHECK(status.bytes_memory > 1 << 20);
  CHECK_EQ(status.memory_limit, options.memory_limit);
  CHECK_EQ(status.clients, 2U);
  CHECK_EQ(status.models_pinned, 1U);
  CHECK_EQ(status.bytes_in_flight, 0U);
  CHECK_EQ(status.bytes_received, bytes_of_model(1));
  CHECK_EQ(status.bytes_sent, sample_bytes(1, sample_key(0)));
  const auto count = [&](const std::string& name) {
    const auto found = std::find(status.names.begin(), status.names.end(), name);
    if (found == status.names.end()) return std::pair<std::uint64_t, std::uint64_t>{0, 0};
    const auto i = static_cast<std::size_t>(found - status.names.begin());
    CHECK(status.p50_us.at(i) <= status.p99_us.at(i) && status.p99_us.at(i) <= status.max_us.at(i));
    return std::pair{status.counts.at(i), status.errors.at(i)};
  };
  CHECK(count("put") == std::pair(std::uint64_t{2}, std::uint64_t{1}));
  CHECK(count("ping") == std::pair(std::uint64_t{7}, std::uint64_t{0}));
  CHECK(count("read_layers") == std::pair(std::uint64_t{1}, std::uint64_t{0}));
  CHECK(count("status").first == 0);
}

CASE(server_stops_when_it_is_asked_to) {
  ServerFixture fixture;
  RawClient client(fixture.server);
  CHECK(!fixture.server.wait_for_stop(std::chrono::milliseconds(10)));
  std::thread asking([&] { client.ask(StopRequest{}); });
  CHECK(fixture.server.wait_for_stop(std::chrono::seconds(30)));
  asking.join();
  CHECK(fixture.server.wait_for_stop(std::chrono::milliseconds(0)));
}

CASE(server_does_a_repeated_request_once) {
  ServerFixture fixture;
  RawClient client(fixture.server), other(fixture.server, 2);
  const auto model = fixture.model(1);
  client.header.number = other.header.number = 17;
  const PutReply first = put(client, model->request);
  MemoryExchange untouched(upload_of(model->request), 0, 1);
  const PutReply again =
      client.ask(message_of(model->request), untouched, size_of(upload_of(model->request)));
  CHECK_EQ(untouched.taken(), 0U);
  CHECK(are_same(first, again));
  CHECK_THROWS(put(other, model->request), ErrorCode::kExists);  // another client's number
  client.header.number = 18;
  const RetireReply retired = client.ask(RetireRequest{1});
  CHECK_EQ(retired.bytes_freed, bytes_of_model(1));
  for (int i = 0; i < 3; ++i) CHECK(are_same(client.ask(RetireRequest{1}), retired));
  client.header.number = 19;
  CHECK_THROWS(client.ask(RetireRequest{1}), ErrorCode::kNotFound);
  fixture.store(2);
  CHECK_THROWS(client.ask(RetireRequest{1}), ErrorCode::kNotFound);  // errors are not remembered
}

CASE(server_at_work_on_a_request_does_not_do_it_twice) {
  ServerFixture fixture;
  while_storing(
      fixture, 1,
      [&] {
        RawClient client(fixture.server, 9);
        client.header.number = 5;
        CHECK_THROWS(put(client, fixture.model(1)->request), ErrorCode::kUnreachable);
      },
      5);
  RawClient client(fixture.server, 9);
  client.header.number = 5;
  CHECK_EQ(put(client, fixture.model(1)->request).bytes_stored, bytes_of_model(1));
}

CASE(recent_replies_are_bounded) {
  RecentReplies replies(10'000);
  int done = 0;
  const auto work = [&] {
    ++done;
    return std::string(1000, 'r');
  };
  for (std::uint64_t number = 1; number <= 100; ++number) replies.answer({}, number, work);
  CHECK_EQ(done, 100);
  replies.answer({}, 100, work);
  replies.answer({}, 93, work);
  CHECK_EQ(done, 100);
  replies.answer({}, 92, work);
  CHECK_EQ(done, 101);
  CHECK_EQ(replies.answer({}, 200, [] { return std::string(20'000, 'l'); }).size(), 20'000U);
  CHECK_EQ(replies.answer({}, 0, [] { return "unnumbered"; }), "unnumbered");
}

}  // namespace
}  // namespace parsl_tl::testing
