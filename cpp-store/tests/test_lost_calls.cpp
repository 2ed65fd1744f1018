// Requests and replies that are lost, one at each step of each call: the same result and the same
// state as if nothing was; and what remains when clients die or servers lose what they knew.
#include <arrow/table.h>

#include <functional>
#include <sstream>
#include <thread>

#include "check.hpp"
#include "cluster.hpp"
#include "layer_name.hpp"
#include "sample_models.hpp"

namespace parsl_tl::testing {
namespace {

constexpr std::uint32_t kServers = 3;

/// Three servers, with models 3, 4 and 5 that own layers on each of them, the latter two
/// inheriting.
class Family {
 public:
  Family() : cluster_(scratch_.path(), kServers) {
    store = cluster_.connect();
    grandparent_.add(sample_hash(0, 0), true);
    grandparent_.add(sample_hash(1, 0), true);
    store->put(grandparent_.request);
    grow(parent_, 3, 1);
    grow(child_, 4, 2);
  }

  /// Layers of all three, a fourth one of its own.
  std::unique_ptr<SampleModel> heir(std::uint64_t id) const {
    auto model = std::make_unique<SampleModel>(id, 1.0);
    for (const std::uint64_t layer : {0, 1, 2, 3}) model->add(sample_hash(layer, 0), false);
    model->add(sample_hash(4, 0), true);
    model->request.donor = 5;
    model->request.parent = 5;
    return model;
  }

  Cluster& cluster() { return cluster_; }

  std::string state() {
    std::ostringstream out;
    for (std::size_t i = 0; i < kServers; ++i) {
      Engine& engine = cluster_.engine(i);
      out << "server " << i;
      for (const char* name :
           {"models", "layers", "layer_references", "bytes_live", "bytes_segments", "segments"}) {
        out << " " << name << " " << engine.stats()[name];
      }
      for (const auto& hold : engine.holds()) out << " hold " << hold.model_id;
      for (std::uint64_t id = 0; id < 100; ++id) {
        if (engine.contains(id)) out << " model " << id;
      }
      for (const std::string& problem : engine.verify().problems) out << " problem " << problem;
      out << "\n";
    }
    return out.str();
  }

  std::unique_ptr<RemoteStore> store;

 private:
  void grow(SampleModel& model, std::uint64_t donor, std::uint64_t layers) {
    for (std::uint64_t layer = 0; layer <= layers; ++layer) {
      model.add(sample_hash(layer, 0), false);
    }
    model.add(sample_hash(layers + 1, 0), true);
    model.request.donor = donor;
    store->put(model.request);
  }

  Scratch scratch_;
  Cluster cluster_;
  SampleModel grandparent_{3, 1.0}, parent_{4, 1.0}, child_{5, 1.0};
};

/// Does something in a family, and tells what came of it.
using Act = std::function<std::string(Family&)>;

/// That the act has the same result and leaves the same state, whichever of its calls fails.
void check_act(const char* name, const Act& act) {
  std::uint64_t calls = 0;
  std::string expected;
  {
    Family family;
    const std::uint64_t before = family.cluster().failures().calls();
    expected = act(family);
    calls = family.cluster().failures().calls() - before;
    expected += "\n" + family.state();
  }
  CHECK(calls > 0);
  for (const Failure failure :
       {Failure::kBeforeRequest, Failure::kMidway, Failure::kBeforeReply, Failure::kBusy}) {
    for (const std::uint64_t times : {1, 2}) {
      for (std::uint64_t step = 0; step < calls; ++step) {
        Family family;
        family.cluster().failures().plan(failure, step, times);
        std::string found;
        try {
          found = act(family);
        } catch (const StoreException& error) {
          found = error.what();
        }
        family.cluster().failures().stop();
        found += "\n" + family.state();
        if (found == expected) continue;
        fail(name, static_cast<int>(step),
             "failure " + std::to_string(static_cast<int>(failure)) + ":\n" + found +
                 "instead of\n" + expected);
      }
    }
  }
}

std::string put_heir(Family& family) {
  const auto heir = family.heir(7);
  const PutResult result = family.store->put(heir->request);
  return std::to_string(result.bytes_stored) + " " + std::to_string(result.layers_stored) + " " +
         std::to_string(result.layers_inherited);
}

CASE(lost_calls_of_put) { check_act("put", put_heir); }

CASE(lost_calls_of_retire) {
  // The last who hold layers of others: bytes are freed on several servers.
  check_act("retire", [](Family& family) {
    std::string freed;
    for (const std::uint64_t id : {3, 4, 5})
      freed += std::to_string(family.store->retire(id)) + " ";
    return freed;
  });
}

CASE(lost_calls_of_refused_requests) {
  check_act("put of a used id", [](Family& family) -> std::string {
    const auto heir = family.heir(4);
    try {
      family.store->put(heir->request);
    } catch (const StoreException& error) {
      return std::to_string(static_cast<int>(error.code()));
    }
    return "stored";
  });
  check_act("retire of none", [](Family& family) -> std::string {
    try {
      return std::to_string(family.store->retire(77));
    } catch (const StoreException& error) {
      return std::to_string(static_cast<int>(error.code()));
    }
  });
}

CASE(lost_calls_of_put_architectures) {
  check_act("put_architectures", [](Family& family) {
    const std::vector<std::uint64_t> ids{20, 21, 22, 23}, parents(4), hashes{1, 2, 1, 3};
    const std::vector<double> qualities(4, 0.5);
    const std::vector<std::uint8_t> has_parent(4, 0);
    const std::vector<std::int64_t> starts{0, 1, 2, 3, 4}, edge_starts(5, 0);
    const std::vector<std::uint32_t> classes(4, 0), edges;
    const std::vector<std::string> names{"Dense"};
    family.store->put_architectures({ids,
                                     qualities,
                                     parents,
                                     has_parent,
                                     starts,
                                     hashes,
                                     classes,
                                     names,
                                     edge_starts,
                                     edges,
                                     {}});
    return std::to_string(family.store->num_models());
  });
}

CASE(lost_calls_of_reads) {
  check_act("read", [](Family& family) {
    ConnectionOptions options = quick_options();
    options.maps_segments = false;
    const auto store = family.cluster().connect(options);
    std::string found;
    const std::vector<std::uint64_t> keys{layer_key(sample_hash(0, 0), 0),
                                          layer_key(sample_hash(1, 0), 0)};
    const auto match = store->find_donor({keys, {}}, {});
    const auto model = store->pin(5);
    for (const auto& read : {match, model}) {
      std::vector<std::size_t> places(read->layers.size());
      for (std::size_t i = 0; i < places.size(); ++i) places[i] = i;
      const ViewedLayers viewed = view_layers(*read, places);
      found += std::to_string(read->id) + ":";
      for (std::size_t i = 0; i < places.size(); ++i) {
        const auto& layer = read->layers[i];
        const auto expected =
            layer.has_weights ? sample_tensors(layer.owner, layer.key) : std::vector<Bytes>();
        bool same = viewed.layers[i].size() == expected.size();
        for (std::size_t j = 0; same && j < expected.size(); ++j) {
          same = std::equal(expected[j].begin(), expected[j].end(), viewed.layers[i][j].begin(),
                            viewed.layers[i][j].end());
        }
        found += same ? " right" : " wrong";
      }
    }
    (found += " ") += std::to_string(store->models()->num_rows());
    for (const std::uint64_t id : store->descendants(3)) (found += " ") += std::to_string(id);
    return found;
  });
}

/// A client that dies at any step of a put leaves holds at most, which the next compaction finds.
CASE(orphaned_holds_are_released) {
  for (std::uint64_t step = 0; step < 8; ++step) {
    Family family;
    ConnectionOptions options = quick_options();
    options.retry_for = std::chrono::milliseconds(0);
    auto dying = family.cluster().connect(options);
    family.cluster().failures().plan(Failure::kBeforeRequest, step, 1000);
    const auto heir = family.heir(7);
    try {
      dying->put(heir->request);
    } catch (const StoreException& error) {
      CHECK_EQ(error.code(), ErrorCode::kUnreachable);
    }
    family.cluster().failures().stop();
    // As another process sees it: this one lives, and so may the attempt. Servers that are started
    // anew know of none.
    for (std::size_t i = 0; i < kServers; ++i) family.cluster().restart(i);
    family.store->compact();
    const bool is_stored = family.store->contains(7);
    std::size_t holds = 0;
    for (std::size_t i = 0; i < kServers; ++i) holds += family.cluster().engine(i).holds().size();
    CHECK_EQ(holds, is_stored ? 5U : 3U);  // of models 4 and 5, and of 7
    if (!is_stored) family.store->put(heir->request);
    for (const std::uint64_t id : {3, 4, 5, 7}) family.store->retire(id);
    CHECK_EQ(family.store->stats()["bytes_live"], 0U);
    family.cluster().verify();
  }
}

/// What an attempt to store model 7 that died has left: a layer of model 3 is held for it.
void leave_hold_of_dead_attempt(Family& family) {
  const HoldRequest hold{7,
                         {layer_key(sample_hash(0, 0), 0)},
                         {format_layer_name("Dense", sample_hash(0, 0), 0)},
                         {3},
                         99,
                         family.cluster().engine(1).store()};
  CHECK(family.cluster().engine(0).hold(hold).taken);
}

CASE(an_attempt_takes_over_what_a_dead_one_held) {
  Family family;
  const auto heir = family.heir(7);
  leave_hold_of_dead_attempt(family);
  const auto wrong = family.heir(7);
  wrong->request.tensors.back().dtype = "";
  CHECK_THROWS(family.store->put(wrong->request), ErrorCode::kInvalidValue);
  CHECK_EQ(family.cluster().engine(0).holds().size(), 3U);
  CHECK(!family.store->verify().problems.empty());  // it has no model
  family.store->put(heir->request);
  CHECK_EQ(family.cluster().engine(0).holds().size(), 3U);
  CHECK(family.store->verify().problems.empty());
  family.cluster().verify();
}

CASE(a_dead_attempt_of_a_stored_model_is_swept) {
  Family family;
  leave_hold_of_dead_attempt(family);
  SampleModel whole(7, 1.0);
  whole.add(sample_hash(0, 0), true);
  family.store->put(whole.request);
  CHECK_EQ(family.store->verify().problems.size(), 1U);
  family.store->compact();
  CHECK(family.store->verify().problems.empty());
  CHECK(family.store->contains(7));
}

CASE(verify_finds_what_is_not_held) {
  Family family;
  Engine& engine = family.cluster().engine(0);
  engine.release(4, 0, family.cluster().engine(1).store());
  const auto problems = family.store->verify().problems;
  CHECK_EQ(problems.size(), 1U);
  CHECK(problems.at(0).find("0000000000000004") != std::string::npos);
  // Compaction does not make it worse, nor does it hide it.
  family.store->compact();
  CHECK_EQ(family.store->verify().problems.size(), 1U);
}

/// A put that waits in its upload, and what others do meanwhile.
CASE(what_a_put_under_way_holds_is_not_swept) {
  Attempts attempts{std::chrono::seconds(600)};
  const AttemptOrigin here = AttemptOrigin::here();
  CHECK(!here.is_gone());
  attempts.begin(7, 1, here);
  CHECK(attempts.is_under_way(7, 1, SettleHow::kEnd));  // its process lives
  CHECK(!attempts.is_under_way(7, 2, SettleHow::kEnd));
  {
    AttemptAtWork work(attempts, 7, 1);
    CHECK(attempts.is_under_way(7, 1, SettleHow::kEnd));
    CHECK_THROWS(attempts.begin(7, 2, here), ErrorCode::kBusy);
    work.commit();
    CHECK(attempts.is_under_way(7, 1, SettleHow::kGiveUp));
  }
  CHECK(!attempts.is_under_way(7, 1, SettleHow::kLook));
  CHECK_THROWS(AttemptAtWork(attempts, 7, 1), ErrorCode::kStale);
  // Announced, and then another one: what comes of the first is nothing.
  attempts.begin(7, 3, here);
  attempts.begin(7, 4, here);
  CHECK_THROWS(AttemptAtWork(attempts, 7, 3), ErrorCode::kStale);
  // Given up while it is at work.
  AttemptAtWork work(attempts, 7, 4);
  CHECK(!attempts.is_under_way(7, 4, SettleHow::kGiveUp));
  CHECK_THROWS(work.commit(), ErrorCode::kStale);
  // Of a process that is gone.
  AttemptOrigin gone = here;
  ++gone.process_start;
  attempts.begin(8, 5, gone);
  CHECK(!attempts.is_under_way(8, 5, SettleHow::kLook));
  attempts.begin(8, 6, gone);
  attempts.start(8, 6);
  CHECK(!attempts.is_under_way(8, 6, SettleHow::kEnd));
  CHECK_THROWS(attempts.commit(8, 6), ErrorCode::kStale);
  // Of another machine nobody knows, but for how long it is silent.
  gone.machine = "another";
  attempts.begin(9, 7, gone);
  CHECK(attempts.is_under_way(9, 7, SettleHow::kEnd));
  Attempts impatient{std::chrono::seconds(-1)};
  impatient.begin(9, 7, gone);
  CHECK(!impatient.is_under_way(9, 7, SettleHow::kEnd));
  CHECK_THROWS(impatient.start(9, 7), ErrorCode::kStale);
}

/// The server did it, its reply is lost, and it is started anew: it does not know any more.
CASE(lost_replies_of_servers_that_are_started_anew) {
  for (const bool retires : {false, true}) {
    std::uint64_t calls_before = 0;  // of a put; a retirement's first is the one
    if (!retires) {
      Family other;
      const std::uint64_t first = other.cluster().failures().calls();
      put_heir(other);
      calls_before = other.cluster().failures().calls() - first - 1;
    }
    Family family;
    const auto heir = family.heir(7);
    if (retires) family.store->put(heir->request);
    std::thread restarting([&] {
      while (family.cluster().engine(1).contains(7) == retires) std::this_thread::yield();
      family.cluster().restart(1);
      family.cluster().failures().stop();
    });
    family.cluster().failures().plan(Failure::kBeforeReply, calls_before, 100'000);
    if (retires) {
      family.store->retire(7);
    } else {
      const PutResult result = family.store->put(heir->request);
      CHECK_EQ(result.layers_stored, 1U);
      CHECK_EQ(result.layers_inherited, 4U);
    }
    restarting.join();
    CHECK_EQ(family.store->contains(7), !retires);
    family.cluster().verify();
    for (const std::uint64_t id : {3, 4, 5}) family.store->retire(id);
    if (!retires) family.store->retire(7);
    CHECK_EQ(family.store->stats()["bytes_live"], 0U);
  }
}

}  // namespace
}  // namespace parsl_tl::testing
