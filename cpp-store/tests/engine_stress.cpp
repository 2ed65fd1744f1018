// Readers, writers and compaction at once, in two engines on one folder; then the full check.
//
//   engine_stress [seconds] [folder]
//
// The second engine shares nothing with the first but the files, as another process would. Every
// byte of a tensor follows from its owner and its layer, so that readers know what they must see.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>

#include "engine.hpp"
#include "layer_name.hpp"
#include "random.hpp"
#include "scratch.hpp"

namespace parsl_tl::testing {
namespace {

constexpr std::size_t kMostLiving = 60;
constexpr std::uint64_t kDepth = 8;

std::atomic<int> problems{0};

void problem(const std::string& what) {
  ++problems;
  std::fprintf(stderr, "problem: %s\n", what.c_str());
}

/// The models that no writer has retired, as far as the writers know.
class Living {
 public:
  void add(std::uint64_t id) {
    const std::lock_guard guard(mutex_);
    ids_.push_back(id);
  }
  std::optional<std::uint64_t> any(Random& random) {
    const std::lock_guard guard(mutex_);
    if (ids_.empty()) return std::nullopt;
    return random.pick(ids_);
  }
  /// Takes one out, for its only retirement, where there are many.
  std::optional<std::uint64_t> take(Random& random) {
    const std::lock_guard guard(mutex_);
    if (ids_.size() < kMostLiving) return std::nullopt;
    const std::size_t place = random.below(ids_.size());
    const std::uint64_t id = ids_[place];
    ids_.erase(ids_.begin() + static_cast<std::ptrdiff_t>(place));
    return id;
  }
  std::size_t size() {
    const std::lock_guard guard(mutex_);
    return ids_.size();
  }

 private:
  std::mutex mutex_;
  std::vector<std::uint64_t> ids_;
};

struct Counts {
  std::atomic<std::uint64_t> put{0}, refused{0}, retired{0}, pinned{0}, bytes{0}, compacted{0};
};

std::uint8_t byte_of(std::uint64_t owner, std::uint64_t key, std::size_t i) {
  const std::uint64_t mixed = (owner * 31 + key) * 0x9E3779B97F4A7C15U;
  return static_cast<std::uint8_t>((mixed >> (8 * (i % 8))) + i / 1000);
}

std::size_t size_of(std::uint64_t key) { return 64 + key % 3000; }

/// One way down a tree of layers: models share as many layers as their ways have in common.
std::vector<std::uint64_t> random_way(Random& random) {
  std::vector<std::uint64_t> keys;
  std::uint64_t key = 1;
  for (std::uint64_t level = 0; level < kDepth; ++level) {
    key = key * 4 + random.below(level < 2 ? 2 : 3);
    keys.push_back(key * 0x9E3779B97F4A7C15U);
  }
  return keys;
}

void check_content(const PinnedModel& model, Counts& counts) {
  for (const auto& layer : model.layers) {
    if (layer.segment == nullptr) continue;
    for (std::uint32_t i = 0; i < layer.tensors.count; ++i) {
      const auto bytes = layer.segment->tensor(layer.tensors.first + i, layer.name);
      if (bytes.size() != size_of(layer.key)) problem("a tensor of the wrong size");
      for (std::size_t at = 0; at < bytes.size(); ++at) {
        if (bytes[at] == byte_of(layer.owner, layer.key, at)) continue;
        return problem("wrong bytes in layer " + layer.name + " of " + hex_id(layer.owner));
      }
      counts.bytes += bytes.size();
    }
  }
  ++counts.pinned;
}

class Stress {
 public:
  explicit Stress(const std::string& folder)
      : first_(folder, {.read_only = false, .codec = Codec::kLz4}),
        second_(folder, {.read_only = false, .codec = {}}) {}

  void run(double seconds) {
    std::vector<std::jthread> threads;
    const auto start = [&](auto work) {
      threads.emplace_back([this, work, seed = ++seed_] {
        Random random(seed);
        while (!stop_) {
          try {
            work(random);
          } catch (const std::exception& error) {
            problem(error.what());
          }
        }
      });
    };
    start([this](Random& random) { write(first_, random); });
    start([this](Random& random) { write(second_, random); });
    start([this](Random& random) { read(first_, random); });
    start([this](Random& random) { read(first_, random); });
    start([this](Random& random) { read(second_, random); });
    start([this](Random& random) { maintain(first_, random); });
    start([this](Random& random) { maintain(second_, random); });
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    stop_ = true;
  }

  void check(Engine& engine) {
    const VerifyReport report = engine.verify();
    for (const std::string& text : report.problems) problem("verify: " + text);
    for (const std::string& text : engine.take_warnings()) problem("warning: " + text);
    if (report.models != living_.size()) problem("not as many models as were left");
    std::uint64_t files = 0;
    for ([[maybe_unused]] const auto& file :
         std::filesystem::directory_iterator(engine.folder() + "/segments")) {
      ++files;
    }
    if (files != engine.stats().at("segments")) problem("segment files that nobody owns");
    const Counts& n = counts_;
    std::printf(
        "%zu models; %zu put, %zu refused, %zu retired, %zu pinned, %zu MB read, "
        "%zu compactions and folds\n",
        report.models, n.put.load(), n.refused.load(), n.retired.load(), n.pinned.load(),
        n.bytes.load() >> 20, n.compacted.load());
  }
  void check_all(const std::string& folder) {
    check(first_);
    check(second_);
    Engine third(folder, {.read_only = true, .codec = {}});
    check(third);
  }

 private:
  void write(Engine& engine, Random& random) {
    if (const auto id = living_.take(random)) {
      engine.retire(*id);
      ++counts_.retired;
    }
    put(engine, random);
  }

  void put(Engine& engine, Random& random) {
    PutRequest request;
    request.model_id = next_id_++;
    request.quality = static_cast<double>(random.below(4));
    request.parent = living_.any(random);
    std::unordered_set<std::uint64_t> inherited;
    if (request.parent && random.chance(0.8)) {
      try {
        for (const auto& layer : engine.model(*request.parent).layers) {
          if (layer.has_weights) inherited.insert(layer.key);
        }
        request.donor = request.parent;
      } catch (const StoreException& error) {
        if (error.code() != ErrorCode::kNotFound) throw;  // retired meanwhile
      }
    }
    request.layer_keys = random_way(random);
    std::vector<Bytes> memory;
    for (std::uint32_t i = 0; i < request.layer_keys.size(); ++i) {
      const std::uint64_t key = request.layer_keys[i];
      request.layer_names.push_back(format_layer_name("Dense", key));
      if (i > 0) request.edges.insert(request.edges.end(), {i - 1, i});
      if (inherited.contains(key)) continue;
      Bytes& bytes = memory.emplace_back(size_of(key));
      for (std::size_t at = 0; at < bytes.size(); ++at) {
        bytes[at] = byte_of(request.model_id, key, at);
      }
      request.tensors.push_back(
          {i, "uint8", {static_cast<std::int64_t>(bytes.size())}, std::span(bytes)});
    }
    try {
      engine.put(request);
      living_.add(request.model_id);
      ++counts_.put;
    } catch (const StoreException& error) {
      if (error.code() != ErrorCode::kDonorGone) throw;
      ++counts_.refused;
    }
  }

  void read(Engine& engine, Random& random) {
    const Query query(random_way(random), {}, {});
    if (const auto model = engine.find_donor(query)) check_content(*model, counts_);
    std::vector<Query> queries(70, query);
    const auto donors = engine.find_donors(queries, 2);
    if (const auto id =
            random.chance(0.5) ? living_.any(random) : std::optional(donors[0].model_id)) {
      try {
        const auto pinned = engine.pin(*id);
        check_content(*pinned, counts_);
        engine.record(*id);
        engine.ancestors(*id);
        std::this_thread::sleep_for(std::chrono::milliseconds(random.below(3)));
        check_content(*pinned, counts_);
      } catch (const StoreException& error) {
        if (error.code() != ErrorCode::kNotFound) throw;
      }
    }
    if (random.chance(0.05)) engine.stats();
  }

  void maintain(Engine& engine, Random& random) {
    random.chance(0.5) ? engine.fold() : static_cast<void>(engine.compact());
    ++counts_.compacted;
    std::this_thread::sleep_for(std::chrono::milliseconds(random.below(60)));
  }

  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> next_id_{1};
  std::uint64_t seed_ = 0;
  Living living_;
  Counts counts_;
  Engine first_;
  Engine second_;
};

}  // namespace
}  // namespace parsl_tl::testing

int main(int argc, char** argv) {
  using namespace parsl_tl::testing;
  ::setenv("ARROW_DEFAULT_MEMORY_POOL", "system", 0);
  const double seconds = argc > 1 ? std::atof(argv[1]) : 5.0;
  const Scratch scratch;
  const std::string folder = argc > 2 ? argv[2] : scratch / "store";
  Stress stress(folder);
  stress.run(seconds);
  stress.check_all(folder);
  std::printf("%d problems\n", problems.load());
  return problems == 0 ? 0 : 1;
}
