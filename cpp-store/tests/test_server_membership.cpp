// Which store a server belongs to, and what it takes from whom.
#include <arrow/api.h>

#include <algorithm>
#include <condition_variable>
#include <thread>

#include "check.hpp"
#include "server_fixture.hpp"
#include "store_ids.hpp"

namespace parsl_tl::testing {
namespace {

CASE(server_takes_requests_for_itself_only) {
  ServerFixture fixture;
  Engine& engine = *fixture.engine;
  RawClient client(fixture.server);
  const auto join = [&](std::uint32_t index, std::uint32_t count) {
    client.ask(JoinRequest{texts_of(stores_around(engine, {index, count})), index});
    return client.ask(HelloRequest{});
  };
  CHECK(client.ask(HelloRequest{}).is_empty);
  CHECK_EQ(join(1, 3).server_count, 3U);
  CHECK_EQ(join(1, 2).server_count, 2U);  // nothing is stored: it may still be any
  const auto model = fixture.model(3);
  put(client, model->request);
  CHECK_THROWS(join(0, 2), ErrorCode::kInvalidValue);
  CHECK_THROWS(join(1, 3), ErrorCode::kInvalidValue);
  JoinRequest others{texts_of(stores_around(engine, {1, 2})), 1};
  others.stores[0] = made_up_store(9).text();
  CHECK_THROWS(client.ask(others), ErrorCode::kWrongStore);
  const HelloReply hello = client.ask(HelloRequest{});
  CHECK_EQ(hello.server_index, 1U);
  CHECK_EQ(hello.store, engine.store().text());
  CHECK(hello.stores == texts_of(stores_around(engine, {1, 2})));
  CHECK(!hello.is_empty);
  CHECK_THROWS(put(client, fixture.model(2)->request), ErrorCode::kInvalidValue);

  client.header.store = made_up_store(3);
  CHECK_THROWS(client.ask(PingRequest{}), ErrorCode::kWrongStore);
  client.header.store = engine.store();
  client.ask(PingRequest{});
  client.header.server = Membership{0, 2};
  CHECK_THROWS(client.ask(PingRequest{}), ErrorCode::kInvalidValue);
  client.header.server = Membership{1, 2};
  CHECK_THROWS(client.ask(PingRequest{}), ErrorCode::kWrongStore);
  client.header.stores = digest_of(*engine.stores());
  client.ask(PingRequest{});
}

CASE(server_refuses_clients_of_another_hash_scheme) {
  ServerFixture fixture;
  RawClient client(fixture.server);
  CHECK_THROWS(client.ask(HelloRequest{kHashScheme + 1}), ErrorCode::kFormat);
  CHECK_EQ(client.ask(HelloRequest{}).hash_scheme, kHashScheme);
}

/// Without an attempt, nobody would hold the layers on the other server.
CASE(server_refuses_borrowed_layers_that_nobody_holds) {
  ServerFixture fixture;
  RawClient client(fixture.server);
  join_as(*fixture.engine, {1, 2});
  const auto model = fixture.model(3);
  PutMessage message = message_of(model->request);
  message.tensor_layers.clear();
  message.tensor_dtypes.clear();
  message.tensor_shapes.clear();
  message.tensor_sizes.clear();
  message.names_inherited = true;
  message.inherited_layers = {0};
  message.inherited_owners = {2};
  message.inherited_bytes = {8};
  CHECK_THROWS(client.ask(message), ErrorCode::kInvalidValue);
  message.attempt = 5;
  CHECK_THROWS(client.ask(message), ErrorCode::kStale);
  client.ask(BeginPutRequest{3, 4, "", 0, 0});
  CHECK_THROWS(client.ask(message), ErrorCode::kStale);
  client.ask(BeginPutRequest{3, 5, "", 0, 0});
  client.ask(message);
  CHECK_THROWS(client.ask(BeginPutRequest{3, 6, "", 0, 0}), ErrorCode::kExists);
  const SettleReply state = client.ask(SettleRequest{{3, 5}, {5, 1}, 0, 0});
  CHECK_EQ(static_cast<int>(state.states.at(0)), static_cast<int>(AttemptState::kStored));
  CHECK_EQ(static_cast<int>(state.states.at(1)), static_cast<int>(AttemptState::kOver));
  CHECK_EQ(state.layers.at(0), 1U);
}

CASE(server_is_joined_by_many_clients_at_once) {
  for (int round = 0; round < 20; ++round) {
    ServerFixture fixture;
    std::atomic<int> refused = 0;
    {
      std::vector<std::jthread> threads;
      for (std::uint64_t thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&, thread] {
          RawClient client(fixture.server, static_cast<std::uint8_t>(thread));
          const std::uint32_t count = thread % 2 == 0 ? 2 : 3;
          const StoreIds stores = stores_around(*fixture.engine, {1, count});
          client.header.server = Membership{1, count};
          client.header.stores = digest_of(stores);
          // Each belongs here in one way only.
          for (const std::uint64_t id : {1 + count + 12 * thread, 97 + count + 12 * thread}) {
            CHECK(id % count == 1 && id % (5 - count) != 1);
            try {
              RawClient joining(fixture.server, static_cast<std::uint8_t>(thread));
              joining.ask(JoinRequest{texts_of(stores), 1});
              put(client, fixture.model(id)->request);
            } catch (const StoreException& error) {
              CHECK_EQ(error.code(), ErrorCode::kInvalidValue);
              ++refused;
            }
          }
        });
      }
    }
    const Membership settled = fixture.engine->membership();
    const auto stored = fixture.engine->models();
    CHECK_EQ(refused.load() + stored->num_rows(), 8);
    const auto ids = std::static_pointer_cast<arrow::UInt64Array>(stored->column(0));
    for (std::int64_t i = 0; i < ids->length(); ++i) CHECK(settled.is_home_of(ids->Value(i)));
    CHECK_EQ(fixture.engine->verify().problems.size(), 0U);
  }
}

}  // namespace
}  // namespace parsl_tl::testing
