#include "bare_thallium.hpp"

#include <chrono>
#include <thallium.hpp>
#include <thallium/serialization/stl/string.hpp>
#include <thallium/serialization/stl/vector.hpp>
#include <utility>
#include <vector>

#include "argobots_thread.hpp"
#include "walk_service.hpp"

namespace parsl_tl {
namespace tl = thallium;
namespace {

constexpr int kServerThreads = 4;

struct WalkReply {
  bool found = false;
  std::uint64_t model_id = 0;
  std::vector<std::uint32_t> layers;

  template <typename Archive>
  void serialize(Archive& archive) {
    archive & found & model_id & layers;
  }
};

/// Argobots is started by one thread for everybody in a process; see argobots_thread.hpp.
tl::engine start_engine(const std::string& address, int mode, int threads) {
  // Without this, Margo's progress thread spins for a while after each request, and takes a core
  // from those that work.
  const std::string options = R"({"use_progress_thread": true, "progress_spindown_msec": 0,
                                  "rpc_thread_count": )" +
                              std::to_string(threads) + "}";
  tl::engine engine;
  mochi::ArgobotsThread::get().run([&] { engine = tl::engine(address, mode, options); });
  return engine;
}

void end_engine(tl::engine& engine) {
  mochi::ArgobotsThread::get().run([&] {
    engine.finalize_and_wait();
    engine = tl::engine();
  });
}

/// Memory that is registered, made larger when that is needed.
class Registered {
 public:
  const tl::bulk& of_size(tl::engine& engine, std::size_t size, tl::bulk_mode mode) {
    if (memory_.size() < size) {
      memory_.resize(size);
      bulk_ = expose(engine, memory_.data(), memory_.size(), mode);
    }
    return bulk_;
  }

  static tl::bulk expose(tl::engine& engine, void* data, std::size_t size, tl::bulk_mode mode) {
    return engine.expose({{data, size}}, mode);
  }

  void clear() { bulk_ = tl::bulk(); }

 private:
  std::vector<std::uint8_t> memory_;
  tl::bulk bulk_;
};

template <typename Work>
double seconds_of(Work work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

struct BareThalliumServer::State {
  tl::engine engine;
  tl::mutex mutex;  // guards memory: one client measures at a time
  Registered memory;
  WalkService walk;

  explicit State(const std::string& address)
      : engine(start_engine(address, THALLIUM_SERVER_MODE, kServerThreads)) {
    engine.define("bare_add", [this](const tl::request& request, std::uint64_t model_id,
                                     double quality, const std::vector<std::uint64_t>& digests,
                                     const std::vector<std::uint32_t>& edges) {
      walk.add(model_id, quality, {digests, edges});
      request.respond(0);
    });
    engine.define("bare_walk",
                  [this](const tl::request& request, const std::vector<std::uint64_t>& digests,
                         const std::vector<std::uint32_t>& edges) {
                    WalkReply reply;
                    if (auto match = walk.match({digests, edges})) {
                      reply = {true, match->model_id, std::move(match->layers)};
                    }
                    request.respond(reply);
                  });
    engine.define("bare_rpc", [](const tl::request& request) { request.respond(0); });
    engine.define("bare_put",
                  [this](const tl::request& request, tl::bulk& theirs, std::uint64_t size) {
                    const std::lock_guard guard(mutex);
                    const tl::bulk& ours = memory.of_size(engine, size, tl::bulk_mode::read_write);
                    theirs(0, size).on(request.get_endpoint()) >> ours(0, size);
                    request.respond(0);
                  });
    engine.define("bare_get",
                  [this](const tl::request& request, tl::bulk& theirs, std::uint64_t size) {
                    const std::lock_guard guard(mutex);
                    const tl::bulk& ours = memory.of_size(engine, size, tl::bulk_mode::read_write);
                    theirs(0, size).on(request.get_endpoint()) << ours(0, size);
                    request.respond(0);
                  });
  }
};

BareThalliumServer::BareThalliumServer(const std::string& address)
    : state_(std::make_unique<State>(address)) {}

BareThalliumServer::~BareThalliumServer() { stop(); }

std::string BareThalliumServer::address() const { return state_->engine.self(); }

void BareThalliumServer::stop() {
  if (!state_) return;
  state_->memory.clear();
  end_engine(state_->engine);
  state_.reset();
}

struct BareThalliumClient::State {
  tl::engine engine;
  tl::remote_procedure rpc;
  tl::remote_procedure put;
  tl::remote_procedure get;
  tl::remote_procedure add;
  tl::remote_procedure walk;
  tl::endpoint server;
  Registered memory;
  std::pair<const void*, std::size_t> exposed{};
  tl::bulk exposure;  // of that

  explicit State(const std::string& address)
      : engine(start_engine(address.substr(0, address.find("://")), THALLIUM_CLIENT_MODE, 0)),
        rpc(engine.define("bare_rpc")),
        put(engine.define("bare_put")),
        get(engine.define("bare_get")),
        add(engine.define("bare_add")),
        walk(engine.define("bare_walk")),
        server(engine.lookup(address)) {}
};

BareThalliumClient::BareThalliumClient(const std::string& address)
    : state_(std::make_unique<State>(address)) {}

BareThalliumClient::~BareThalliumClient() {
  tl::engine engine = state_->engine;
  state_.reset();
  end_engine(engine);
}

double BareThalliumClient::rpc() {
  return seconds_of([&] { state_->rpc.on(state_->server)(); });
}

double BareThalliumClient::put(std::span<const std::uint8_t> bytes) {
  const std::pair<const void*, std::size_t> wanted{bytes.data(), bytes.size()};
  if (state_->exposed != wanted) {
    state_->exposure = Registered::expose(state_->engine, const_cast<std::uint8_t*>(bytes.data()),
                                          bytes.size(), tl::bulk_mode::read_only);
    state_->exposed = wanted;
  }
  return seconds_of(
      [&] { state_->put.on(state_->server)(state_->exposure, std::uint64_t{bytes.size()}); });
}

double BareThalliumClient::get(std::uint64_t bytes) {
  const tl::bulk& ours = state_->memory.of_size(state_->engine, bytes, tl::bulk_mode::read_write);
  return seconds_of([&] { state_->get.on(state_->server)(ours, bytes); });
}

void BareThalliumClient::add_graph(std::uint64_t model_id, double quality, const WalkInput& graph) {
  const std::vector<std::uint64_t> digests(graph.digests.begin(), graph.digests.end());
  const std::vector<std::uint32_t> edges(graph.edges.begin(), graph.edges.end());
  state_->add.on(state_->server)(model_id, quality, digests, edges);
}

std::optional<WalkMatch> BareThalliumClient::walk(const WalkInput& graph) {
  const std::vector<std::uint64_t> digests(graph.digests.begin(), graph.digests.end());
  const std::vector<std::uint32_t> edges(graph.edges.begin(), graph.edges.end());
  WalkReply reply = state_->walk.on(state_->server)(digests, edges);
  if (!reply.found) return std::nullopt;
  return WalkMatch{reply.model_id, std::move(reply.layers)};
}

}  // namespace parsl_tl
