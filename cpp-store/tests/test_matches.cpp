// Matches on servers: a query's answer carries the opened model, whatever happens in between.
#include <functional>

#include "check.hpp"
#include "cluster.hpp"
#include "server_fixture.hpp"

namespace parsl_tl::testing {
namespace {

ConnectionOptions options_for(bool maps_segments) {
  ConnectionOptions options = quick_options();
  options.maps_segments = maps_segments;
  return options;
}

/// A model of this number of layers, each of which it owns.
std::unique_ptr<SampleModel> model_of(std::uint64_t id, std::uint64_t layers) {
  auto model = std::make_unique<SampleModel>(id, 0.5);
  for (std::uint64_t layer = 0; layer < layers; ++layer) model->add(sample_hash(layer, 0), true);
  return model;
}

const std::vector<std::uint64_t>& keys() {
  static const std::vector<std::uint64_t> keys{sample_key(0), sample_key(1), sample_key(2)};
  return keys;
}

/// Whether all tensors are what was put.
bool is_readable(const RemoteModel& model) {
  std::vector<std::size_t> places(model.layers.size());
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = i;
  const ViewedLayers viewed = view_layers(model, places);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto expected = sample_tensors(model.layers[i].owner, model.layers[i].key);
    if (viewed.layers[i].size() != expected.size()) return false;
    for (std::size_t j = 0; j < expected.size(); ++j) {
      const auto tensor = viewed.layers[i][j];
      if (!std::equal(expected[j].begin(), expected[j].end(), tensor.begin(), tensor.end())) {
        return false;
      }
    }
  }
  return true;
}

CASE(matches_take_one_round_trip) {
  for (const std::uint32_t count : {1, 3}) {
    for (const bool maps : {true, false}) {
      const Scratch scratch;
      Cluster cluster(scratch.path(), count);
      for (const std::uint64_t id : {1, 2, 3}) cluster.connect()->put(model_of(id, id)->request);
      const auto store = cluster.connect(options_for(maps));
      for (const int time : {1, 2, 3}) {
        const std::uint64_t before = cluster.failures().calls();
        const auto match = store->find_donor({keys(), {}}, {});
        // Of several servers, one is asked to keep the model that wins; once.
        const bool is_asked_again = count > 1 && !maps && time == 1;
        CHECK_EQ(cluster.failures().calls() - before, count + (is_asked_again ? 1 : 0));
        CHECK_EQ(match->id, 3U);
        CHECK(is_readable(*match));
      }
      CHECK(store->find_donor({std::span(keys()).first(0), {}}, {}) == nullptr);
    }
  }
}

CASE(matches_are_kept_until_nobody_has_them) {
  const Scratch scratch;
  Cluster cluster(scratch.path(), 1);
  const auto store = cluster.connect(options_for(false));
  for (const std::uint64_t id : {1, 2}) store->put(model_of(id, id)->request);
  auto match = store->find_donor({keys(), {}}, {});
  CHECK_EQ(match->id, 2U);
  CHECK_EQ(cluster.server(0).clients().num_pinned(), 1U);
  cluster.connect()->retire(2);
  cluster.engine(0).compact();
  CHECK(is_readable(*match));
  const auto other = store->find_donor({keys(), {}}, {});
  CHECK_EQ(other->id, 1U);
  CHECK_EQ(cluster.server(0).clients().num_pinned(), 2U);
}

/// Does something between a query's answer and the client that gets it.
class Meddling final : public Channel {
 public:
  Meddling(std::shared_ptr<Channel> channel, std::function<void()> meddle)
      : channel_(std::move(channel)), meddle_(std::move(meddle)) {}

  std::string call(const Call& call) override {
    std::string reply = channel_->call(call);
    if (parse_request(call.request).kind == RequestKind::kFindDonors) {
      if (const auto meddle = std::exchange(meddle_, nullptr)) meddle();
    }
    return reply;
  }

 private:
  std::shared_ptr<Channel> channel_;
  std::function<void()> meddle_;
};

CASE(matches_that_are_retired_before_they_arrive) {
  for (const bool maps : {true, false}) {
    const Scratch scratch;
    Cluster cluster(scratch.path(), 1);
    const auto writer = cluster.connect();
    for (const std::uint64_t id : {1, 2}) writer->put(model_of(id, id)->request);
    const auto channel = std::make_shared<Meddling>(cluster.channels()[0], [&] {
      writer->retire(2);
      cluster.engine(0).compact();
    });
    RemoteStore store({channel}, Cluster::addresses(1), options_for(maps));
    const auto match = store.find_donor({keys(), {}}, {});
    // Who maps files comes too late, and asks again; for others the server kept it.
    CHECK_EQ(match->id, maps ? 1U : 2U);
    CHECK(is_readable(*match));
  }
}

FindDonorsRequest query_that_opens(std::uint64_t lease) {
  FindDonorsRequest request;
  request.starts = {0, keys().size()};
  request.layer_keys = keys();
  request.opens = true;
  request.lease = lease;
  return request;
}

CASE(answers_carry_what_opening_gives) {
  ServerFixture fixture;
  RawClient client(fixture.server);
  fixture.store(1);
  const auto reply = client.ask(query_that_opens(7));
  CHECK_EQ(reply.model_ids.at(0), 1U);
  CHECK(reply.opened == client.ask(OpenModelRequest{1, {}, 8, false}));
  CHECK_EQ(fixture.server.clients().num_pinned(), 2U);

  auto request = query_that_opens(0);  // the client maps the files itself
  request.let_go = {7, 8};
  const auto mapped = client.ask(request);
  CHECK(mapped.opened == client.ask(OpenModelRequest{1, {}, 0, false}));
  CHECK(mapped.opened->tensor_sizes.empty());
  CHECK_EQ(fixture.server.clients().num_pinned(), 0U);

  request = query_that_opens(9);
  request.open_here = {5, 1};
  CHECK(!client.ask(request).opened);
  request = query_that_opens(9);
  request.layer_keys = {12345, 12346, 12347};  // of no model
  CHECK(!client.ask(request).opened);
  request = query_that_opens(9);
  request.opens = false;
  CHECK(!client.ask(request).opened);
  CHECK_EQ(fixture.server.clients().num_pinned(), 0U);
  request = query_that_opens(9);
  request.starts = {0, 1, 3};
  CHECK_THROWS(client.ask(request), ErrorCode::kInvalidValue);
  request.starts = {0};
  request.layer_keys = {};
  CHECK_THROWS(client.ask(request), ErrorCode::kInvalidValue);
}

}  // namespace
}  // namespace parsl_tl::testing
