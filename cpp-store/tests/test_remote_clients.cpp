// Clients of servers: which they take for theirs, how long they wait, and many of them at once.
#include <arrow/table.h>

#include <thread>

#include "check.hpp"
#include "cluster.hpp"
#include "layer_name.hpp"
#include "sample_models.hpp"

namespace parsl_tl::testing {
namespace {

using std::chrono::milliseconds;

std::unique_ptr<SampleModel> small_model(std::uint64_t id) {
  auto model = std::make_unique<SampleModel>(id, 0.5);
  for (const std::uint64_t layer : {0, 1}) model->add(sample_hash(layer, 0), true);
  return model;
}

ConnectionOptions unmapped() {
  ConnectionOptions options = quick_options();
  options.maps_segments = false;
  return options;
}

bool is_whole(const RemoteModel& model) {
  std::vector<std::size_t> places(model.layers.size());
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = i;
  const ViewedLayers viewed = view_layers(model, places);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto& layer = model.layers[i];
    if (!layer.has_weights) continue;
    const auto expected = sample_tensors(layer.owner, layer.key);
    for (std::size_t j = 0; j < expected.size(); ++j) {
      if (!std::equal(expected[j].begin(), expected[j].end(), viewed.layers[i].at(j).begin(),
                      viewed.layers[i].at(j).end())) {
        return false;
      }
    }
  }
  return true;
}

CASE(servers_named_in_another_way_are_refused) {
  const Scratch scratch;
  Cluster cluster(scratch.path(), 3);
  const auto store = cluster.connect();
  for (const std::uint64_t id : {3, 4, 5}) store->put(small_model(id)->request);
  const auto connect = [&](std::vector<std::size_t> order, bool read_only) {
    std::vector<std::shared_ptr<Channel>> channels;
    for (const std::size_t i : order) channels.push_back(cluster.channels()[i]);
    ConnectionOptions options = quick_options();
    options.read_only = read_only;
    RemoteStore(channels, Cluster::addresses(order.size()), options);
  };
  for (const bool read_only : {false, true}) {
    connect({0, 1, 2}, read_only);
    CHECK_THROWS(connect({1, 0, 2}, read_only), ErrorCode::kWrongStore);
    CHECK_THROWS(connect({2, 0, 1}, read_only), ErrorCode::kWrongStore);
    CHECK_THROWS(connect({0, 1}, read_only), ErrorCode::kWrongStore);
    CHECK_THROWS(connect({0}, read_only), ErrorCode::kWrongStore);
    CHECK_THROWS(connect({0, 1, 2, 0}, read_only), ErrorCode::kInvalidValue);
    CHECK_THROWS(connect({}, read_only), ErrorCode::kInvalidValue);
  }
  CHECK_EQ(store->num_models(), 3U);
}

CASE(readers_leave_empty_servers_as_they_are) {
  const Scratch scratch;
  Cluster cluster(scratch.path(), 2);
  ConnectionOptions options = quick_options();
  options.read_only = true;
  const auto reader = cluster.connect(options);
  CHECK_EQ(reader->num_models(), 0U);
  for (const std::size_t i : {0, 1}) CHECK(cluster.engine(i).membership().is_alone());
  CHECK_THROWS(reader->put(small_model(1)->request), ErrorCode::kPermission);
  CHECK_THROWS(reader->retire(1), ErrorCode::kPermission);
  CHECK_THROWS(reader->compact(), ErrorCode::kPermission);
  CHECK_THROWS(reader->fold(), ErrorCode::kPermission);
  cluster.connect()->put(small_model(1)->request);
  CHECK_EQ(reader->num_models(), 1U);
}

/// Its disk is lost, or not mounted.
CASE(a_server_with_an_empty_folder_is_refused) {
  for (const bool notices : {false, true}) {
    const Scratch scratch;
    Cluster cluster(scratch.path(), 3);
    const auto store = cluster.connect(unmapped());
    store->put(small_model(3)->request);
    store->put(small_model(4)->request);
    const std::string was = cluster.engine(1).store().text();
    cluster.restart_empty(1);
    const std::string is = cluster.engine(1).store().text();
    // Whether the client notices that it was away or not.
    if (notices) cluster.failures().plan(Failure::kBeforeRequest);
    try {
      store->put(small_model(7)->request);
      CHECK(false);
    } catch (const StoreException& error) {
      CHECK_EQ(error.code(), ErrorCode::kWrongStore);
      const std::string text = error.what();
      CHECK(text.find(was) != std::string::npos && text.find(is) != std::string::npos);
    }
    CHECK_THROWS(store->contains(4), ErrorCode::kWrongStore);
    CHECK_THROWS(store->num_models(), ErrorCode::kWrongStore);
    CHECK_THROWS(store->compact(), ErrorCode::kWrongStore);
    // A new client has no memory: the other servers have.
    ConnectionOptions reading = unmapped();
    reading.read_only = true;
    CHECK_THROWS(cluster.connect(unmapped()), ErrorCode::kWrongStore);
    CHECK_THROWS(cluster.connect(reading), ErrorCode::kWrongStore);
    CHECK_EQ(cluster.engine(1).membership().count, 1U);  // it heard nothing
    const auto adopted =
        RemoteStore::adopt(cluster.channels(), cluster.addresses(3), unmapped(), false);
    CHECK_EQ(adopted.before.at(1).text(), was);
    CHECK_EQ(adopted.lost_models.size(), 0U);
    const auto again = cluster.connect(unmapped());
    again->put(small_model(7)->request);
    CHECK(is_whole(*again->pin(7)));
    CHECK(is_whole(*again->pin(3)));
    CHECK_THROWS(store->put(small_model(10)->request), ErrorCode::kWrongStore);
    CHECK_THROWS(store->put(small_model(6)->request), ErrorCode::kWrongStore);  // server 0
  }
}

CASE(servers_in_another_order_or_number_are_refused) {
  const Scratch scratch;
  Cluster cluster(scratch.path(), 3);
  cluster.connect(unmapped())->put(small_model(3)->request);
  auto channels = cluster.channels();
  for (const bool reads : {false, true}) {
    ConnectionOptions options = unmapped();
    options.read_only = reads;
    const auto connect = [&](std::vector<std::shared_ptr<Channel>> some) {
      const auto names = Cluster::addresses(some.size());
      RemoteStore store(std::move(some), names, options);
    };
    CHECK_THROWS(connect({channels[1], channels[0], channels[2]}), ErrorCode::kWrongStore);
    CHECK_THROWS(connect({channels[0], channels[2], channels[1]}), ErrorCode::kWrongStore);
    CHECK_THROWS(connect({channels[0], channels[1]}), ErrorCode::kWrongStore);
    CHECK_THROWS(connect({channels[0]}), ErrorCode::kWrongStore);
    CHECK_THROWS(connect({channels[0], channels[1], channels[1]}), ErrorCode::kInvalidValue);
    connect(channels);
  }
}

CASE(clients_wait_for_servers_that_are_away) {
  const Scratch scratch;
  Cluster cluster(scratch.path(), 2);
  const auto store = cluster.connect();
  store->put(small_model(2)->request);
  cluster.stop(0);
  std::jthread starting([&] {
    std::this_thread::sleep_for(milliseconds(200));
    cluster.start(0);
  });
  CHECK(store->contains(2));
}

CASE(clients_lose_patience_and_rest) {
  const Scratch scratch;
  Cluster cluster(scratch.path(), 2);
  ConnectionOptions options = quick_options();
  options.retry_for = milliseconds(1000);
  options.rest = milliseconds(2000);
  const auto store = cluster.connect(options);
  cluster.stop(1);
  const auto error = [&]() -> std::string {
    try {
      store->contains(1);
    } catch (const StoreException& exception) {
      CHECK_EQ(exception.code(), ErrorCode::kUnreachable);
      return exception.what();
    }
    return "";
  };
  CHECK(error().find("loopback1") != std::string::npos);
  const std::uint64_t calls = cluster.failures().calls();
  CHECK(calls > 1);
  CHECK(error().find("loopback1") != std::string::npos);
  CHECK_EQ(cluster.failures().calls(), calls);
  CHECK(!store->contains(2));  // the other one is there
  cluster.start(1);
  std::this_thread::sleep_for(options.rest);
  CHECK_EQ(error(), "");
}

CASE(clients_wait_for_busy_servers) {
  const Scratch scratch;
  Cluster cluster(scratch.path(), 1);
  const auto store = cluster.connect();
  cluster.failures().plan(Failure::kBusy, 0, 3);
  CHECK(!store->contains(1));
  ConnectionOptions options = quick_options();
  options.retry_for = milliseconds(100);
  const auto impatient = cluster.connect(options);
  cluster.failures().plan(Failure::kBusy, 0, 1000);
  CHECK_THROWS(impatient->contains(1), ErrorCode::kBusy);
  cluster.failures().stop();
  CHECK(!impatient->contains(1));  // who is busy is not left alone
}

CASE(clients_without_the_token_are_denied) {
  const Scratch scratch;
  ServerOptions server;
  server.token.emplace().fill(7);
  Cluster cluster(scratch.path(), 2, server);
  ConnectionOptions options = quick_options();
  CHECK_THROWS(cluster.connect(options), ErrorCode::kDenied);
  options.token.fill(8);
  CHECK_THROWS(cluster.connect(options), ErrorCode::kDenied);
  options.token.fill(7);
  cluster.connect(options)->put(small_model(1)->request);
}

CASE(closed_stores_are_closed) {
  const Scratch scratch;
  Cluster cluster(scratch.path(), 1);
  const auto store = cluster.connect(unmapped());
  store->put(small_model(1)->request);
  const auto model = store->pin(1);
  store->close();
  CHECK_THROWS(store->contains(1), ErrorCode::kClosed);
  CHECK_THROWS(store->put(small_model(2)->request), ErrorCode::kClosed);
  CHECK(is_whole(*model));
}

CASE(models_stay_readable_while_somebody_has_them) {
  for (const bool maps_segments : {false, true}) {
    const Scratch scratch;
    Cluster cluster(scratch.path(), 3);
    ConnectionOptions options = quick_options();
    options.maps_segments = maps_segments;
    const auto store = cluster.connect(options);
    const auto other = cluster.connect(options);
    std::vector<std::shared_ptr<RemoteModel>> models;
    // More than are kept open for their own sake.
    for (std::uint64_t id = 1; id <= 200; ++id) {
      store->put(small_model(id)->request);
      if (id <= 20) models.push_back(store->pin(id));
      store->pin(id);
    }
    for (std::uint64_t id = 1; id <= 200; ++id) other->retire(id);
    for (std::size_t i = 0; i < 3; ++i) cluster.engine(i).compact();
    for (const auto& model : models) {
      CHECK(is_whole(*model));
      CHECK_THROWS(store->pin(model->id), ErrorCode::kNotFound);
    }
    std::size_t pinned = 0;
    for (std::size_t i = 0; i < 3; ++i) pinned += cluster.server(i).clients().num_pinned();
    CHECK(maps_segments ? pinned == 0 : pinned <= 20 + 64 + 6);
  }
}

/// The composition that a client remembers may be of a model that another client retired.
CASE(donors_that_others_retired) {
  const Scratch scratch;
  Cluster cluster(scratch.path(), 3);
  const auto store = cluster.connect();
  const auto other = cluster.connect();
  store->put(small_model(3)->request);
  const auto heir = [](std::uint64_t id) {
    auto model = std::make_unique<SampleModel>(id, 1.0);
    for (const std::uint64_t layer : {0, 1}) model->add(sample_hash(layer, 0), false);
    model->request.donor = 3;
    return model;
  };
  store->put(heir(4)->request);
  other->retire(3);
  store->put(heir(7)->request);  // its layers are there still
  CHECK(is_whole(*store->pin(7)));
  other->retire(4);
  other->retire(7);
  CHECK_THROWS(store->put(heir(10)->request), ErrorCode::kDonorGone);
  CHECK_THROWS(store->put(heir(11)->request), ErrorCode::kDonorGone);
  CHECK_THROWS(store->put(heir(12)->request), ErrorCode::kDonorGone);
  CHECK_EQ(store->stats()["bytes_segments"], 0U);
  for (std::size_t i = 0; i < 3; ++i) CHECK_EQ(cluster.engine(i).holds().size(), 0U);
  cluster.verify();
}

/// As only a server's mistake can make it: the client must not ask for ever.
CASE(models_whose_holds_are_gone_are_damaged) {
  const Scratch scratch;
  Cluster cluster(scratch.path(), 3);
  for (const bool maps_segments : {false, true}) {
    const std::uint64_t first = maps_segments ? 30 : 3;
    ConnectionOptions options = quick_options();
    options.maps_segments = maps_segments;
    const auto store = cluster.connect(options);
    store->put(small_model(first)->request);
    SampleModel heir(first + 1, 1.0);
    for (const std::uint64_t layer : {0, 1}) heir.add(sample_hash(layer, 0), false);
    heir.request.donor = first;
    store->put(heir.request);
    store->retire(first);
    cluster.engine(0).release(first + 1, 0, cluster.engine(1).store());
    const std::vector<std::uint64_t> keys{layer_key(sample_hash(0, 0), 0)};
    CHECK_THROWS(store->pin(first + 1), ErrorCode::kCorrupt);
    CHECK_THROWS(store->find_donor({keys, {}}, {}), ErrorCode::kCorrupt);
    store->retire(first + 1);
    CHECK(store->find_donor({keys, {}}, {}) == nullptr);
  }
}

CASE(many_threads_of_one_client) {
  const Scratch scratch;
  Cluster cluster(scratch.path(), 3);
  const auto store = cluster.connect(unmapped());
  cluster.failures().at_random(0.05);
  {
    std::vector<std::jthread> threads;
    for (std::uint64_t thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&, thread] {
        Random random(thread);
        std::vector<std::uint64_t> living;
        for (std::uint64_t i = 0; i < 60; ++i) {
          const std::uint64_t id = 1000 * (thread + 1) + i;
          const auto model = random_sample_model(id, living, living, random);
          store->put(model->request);
          living.push_back(id);
          CHECK(is_whole(*store->pin(random.pick(living))));
          const auto keys = random_query(random);
          const auto match = store->find_donor({keys, {}}, {});
          if (match != nullptr) CHECK(is_whole(*match));
          if (i % 20 == 0) CHECK(store->models()->num_rows() > 0);
          if (living.size() > 8) {
            store->retire(living.front());
            living.erase(living.begin());
          }
        }
        for (const std::uint64_t id : living) store->retire(id);
      });
    }
  }
  cluster.failures().stop();
  CHECK_EQ(store->num_models(), 0U);
  CHECK_EQ(store->stats()["bytes_live"], 0U);
  for (std::size_t i = 0; i < 3; ++i) CHECK_EQ(cluster.engine(i).holds().size(), 0U);
  cluster.verify();
}

CASE(tables_of_many_threads_of_one_client) {
  const Scratch scratch;
  Cluster cluster(scratch.path(), 2);
  const auto store = cluster.connect();
  for (std::uint64_t id = 1; id <= 16; ++id) {
    const auto model = small_model(id);
    model->request.attributes = std::string(1 << 20, ' ').append("{}");
    store->put(model->request);
  }
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < 3; ++thread) {
    threads.emplace_back([&] {
      for (int round = 0; round < 3; ++round) CHECK_EQ(store->models()->num_rows(), 16);
    });
  }
}

}  // namespace
}  // namespace parsl_tl::testing
