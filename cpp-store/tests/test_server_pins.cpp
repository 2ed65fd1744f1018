// What a server keeps for its clients: models that stay readable, and pages of one table.
#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/api.h>

#include <thread>

#include "check.hpp"
#include "server_fixture.hpp"

namespace parsl_tl::testing {
namespace {

OpenModelRequest open(std::uint64_t model_id, std::uint64_t lease,
                      std::vector<std::uint64_t> let_go = {}) {
  return {model_id, std::move(let_go), lease, false};
}

bool is_gone(RawClient& client, std::uint64_t model_id) {
  try {
    CHECK(is_readable(client, model_id, 1));
  } catch (const StoreException& error) {
    CHECK_EQ(error.code(), ErrorCode::kNotFound);
    return true;
  }
  return false;
}

CASE(opened_models_stay_readable) {
  ServerFixture fixture;
  RawClient client(fixture.server);
  for (const std::uint64_t id : {1, 2, 3}) fixture.store(id);
  const OpenModelReply reply = client.ask(open(1, 100));
  CHECK_EQ(reply.layer_keys.size(), 3U);
  CHECK_EQ(reply.quality, 0.5);
  std::size_t tensors = 0;
  for (const std::uint64_t layer : {0, 1, 2})
    tensors += sample_tensors(1, sample_key(layer)).size();
  CHECK_EQ(reply.tensor_sizes.size(), tensors);
  client.ask(open(2, 0));  // who maps the files itself keeps nothing here
  for (const std::uint64_t id : {1, 2, 3}) fixture.engine->retire(id);
  fixture.engine->compact();
  CHECK(!is_gone(client, 1));
  CHECK(is_gone(client, 2));
  CHECK(is_gone(client, 3));
  // What was sent stays where it is for as long as it is on its way.
  const std::uint64_t bytes = sample_bytes(1, sample_key(0));
  auto exchange = std::make_unique<MemoryExchange>(ConstPieces(), bytes, 1);
  client.ask(ReadLayersRequest{1, {sample_key(0)}}, *exchange, bytes);
  fixture.store(4);
  client.ask(open(4, 101, {100}));
  Bytes expected, sent;
  for (const Bytes& tensor : sample_tensors(1, sample_key(0))) {
    expected.insert(expected.end(), tensor.begin(), tensor.end());
  }
  for (const auto& piece : exchange->sent()) sent.insert(sent.end(), piece.begin(), piece.end());
  CHECK(sent == expected);
  exchange.reset();
  CHECK(is_gone(client, 1));
}

CASE(leases_are_let_go_of_one_by_one) {
  ServerFixture fixture;
  RawClient client(fixture.server);
  for (const std::uint64_t id : {1, 2}) fixture.store(id);
  // The client opens the model anew, and what it lets go of comes later than that.
  client.ask(open(1, 10));
  client.ask(open(1, 11));
  client.ask(open(2, 12, {10}));
  fixture.engine->retire(1);
  CHECK(!is_gone(client, 1));
  // Said twice, as after a lost reply; and of leases that there are not.
  client.ask(open(2, 12, {10, 10, 99}));
  CHECK(!is_gone(client, 1));
  CHECK_EQ(client.ask(StatusRequest{}).models_pinned, 2U);
  client.ask(open(2, 12, {11}));
  CHECK(is_gone(client, 1));
}

CASE(the_model_opened_longest_ago_goes_first) {
  ServerOptions options;
  options.client_limits.models_pinned = 3;
  ServerFixture fixture(options);
  RawClient client(fixture.server);
  for (std::uint64_t id = 1; id <= 5; ++id) {
    fixture.store(id);
    client.ask(open(id, id));
    if (id == 3) client.ask(open(1, 1));
  }
  CHECK_EQ(client.ask(StatusRequest{}).models_pinned, 3U);
  for (std::uint64_t id = 1; id <= 5; ++id) fixture.engine->retire(id);
  CHECK(!is_gone(client, 1));
  CHECK(is_gone(client, 2));
  CHECK(is_gone(client, 3));
  CHECK(!is_gone(client, 4));
  CHECK(!is_gone(client, 5));
}

CASE(nothing_is_kept_for_silent_clients) {
  ServerOptions options;
  options.client_limits.silence = std::chrono::seconds(2);
  ServerFixture fixture(options);
  RawClient silent(fixture.server), speaking(fixture.server, 2);
  for (const std::uint64_t id : {1, 2}) fixture.store(id);
  silent.ask(open(2, 1));
  speaking.ask(open(1, 1));
  for (const std::uint64_t id : {1, 2}) fixture.engine->retire(id);
  CHECK_EQ(speaking.ask(HelloRequest{}).keeps_ms, 2000U);
  for (int i = 0; i < 44; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    speaking.ask(PingRequest{});
  }
  CHECK_EQ(speaking.ask(StatusRequest{}).clients, 1U);
  CHECK(!is_gone(speaking, 1));
  CHECK(is_gone(silent, 2));
}

CASE(reads_that_do_not_fit_are_refused) {
  ServerFixture fixture;
  RawClient client(fixture.server);
  fixture.store(1);
  const std::uint64_t key = sample_key(0);
  const auto read = [&](const ReadLayersRequest& request, std::uint64_t room) {
    MemoryExchange exchange({}, room, 1);
    client.ask(request, exchange, room);
    CHECK(exchange.has_sent());
  };
  const std::uint64_t bytes = sample_bytes(1, key);
  read({1, {key}}, bytes);
  read({1, {key, key}}, 2 * bytes);
  read({1, {}}, 0);
  CHECK_THROWS(read({1, {key}}, bytes + 1), ErrorCode::kInvalidValue);
  CHECK_THROWS(read({1, {key}}, 0), ErrorCode::kInvalidValue);
  CHECK_THROWS(read({1, {77}}, 0), ErrorCode::kInvalidValue);
  CHECK_THROWS(read({2, {key}}, bytes), ErrorCode::kNotFound);
}

std::shared_ptr<arrow::Table> table_of(const std::string& bytes) {
  const auto stream =
      std::make_shared<arrow::io::BufferReader>(arrow::Buffer::FromString(std::string(bytes)));
  return arrow::ipc::RecordBatchStreamReader::Open(stream).ValueOrDie()->ToTable().ValueOrDie();
}

/// Models with attributes so large that few of them fit on a page.
void store_long_ones(Engine& engine, std::uint64_t first, std::uint64_t end) {
  for (std::uint64_t id = first; id < end; ++id) {
    const auto model = ServerFixture::model(id);
    model->request.attributes = std::string(700'000, ' ').append("{}");
    engine.put(model->request);
  }
}

CASE(pages_are_those_of_one_table) {
  ServerFixture fixture;
  RawClient client(fixture.server), other(fixture.server, 2);
  store_long_ones(*fixture.engine, 1, 20);
  const auto begun = arrow::Table::FromRecordBatches({fixture.engine->models()}).ValueOrDie();
  std::vector<std::shared_ptr<arrow::Table>> pages;
  std::uint64_t read = 0;
  while (read < 19) {
    const ListModelsReply reply = client.ask(ListModelsRequest{read});
    CHECK_EQ(reply.rows, 19U);
    CHECK(reply.table.size() <= (4 << 20));
    // Models come and go, others ask as well, and a reply may be lost.
    fixture.engine->retire(1 + read);
    store_long_ones(*fixture.engine, 100 + read, 101 + read);
    other.ask(ListModelsRequest{0});
    if (read > 0) CHECK(client.ask(ListModelsRequest{read}).table == reply.table);
    pages.push_back(table_of(reply.table));
    read += static_cast<std::uint64_t>(pages.back()->num_rows());
  }
  CHECK(pages.size() > 2);
  CHECK(arrow::ConcatenateTables(pages).ValueOrDie()->Equals(*begun));
  // Asked for what is behind it, the server lets go of the table.
  CHECK_EQ(table_of(client.ask(ListModelsRequest{read}).table)->num_rows(), 0);
  CHECK_EQ(client.ask(ListModelsRequest{1}).rows, fixture.engine->num_models());
}

}  // namespace
}  // namespace parsl_tl::testing
