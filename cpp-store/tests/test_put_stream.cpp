// Tensors that come in pieces: the same segments as from memory, and nothing left behind when they
// do not come as announced.
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <numeric>

#include "check.hpp"
#include "engine.hpp"
#include "layer_name.hpp"
#include "random.hpp"
#include "scratch.hpp"

namespace parsl_tl::testing {
namespace {

constexpr std::uint64_t kId = 0xFEED;

/// Gives bytes in pieces, each in the same memory: what a piece held is lost with the next one.
class Pieces : public ByteSource {
 public:
  Pieces(const Bytes& bytes, std::function<std::size_t()> size)
      : bytes_(bytes), size_(std::move(size)) {}

  std::span<const std::uint8_t> take() override {
    std::fill(memory_.begin(), memory_.end(), 0xEE);
    const std::size_t size = std::min(size_(), bytes_.size() - given_);
    memory_.assign(bytes_.begin() + static_cast<long>(given_),
                   bytes_.begin() + static_cast<long>(given_ + size));
    given_ += size;
    return memory_;
  }

 private:
  const Bytes& bytes_;
  std::function<std::size_t()> size_;
  std::size_t given_ = 0;
  Bytes memory_;
};

Pieces in_pieces_of(std::size_t size, const Bytes& bytes) {
  return {bytes, [size] { return size; }};
}

/// A model with its tensors in memory, and their bytes one after another.
struct Sample {
  PutRequest request;
  std::vector<Bytes> memory;
  Bytes stream;

  explicit Sample(std::size_t layers) {
    request.model_id = kId;
    for (std::uint64_t key = 1; key <= layers; ++key) {
      request.layer_keys.push_back(key);
      request.layer_names.push_back(format_layer_name("Dense", key));
    }
  }

  void add(std::uint32_t layer, std::string dtype, std::vector<std::int64_t> shape, Bytes bytes) {
    stream.insert(stream.end(), bytes.begin(), bytes.end());
    memory.push_back(std::move(bytes));
    request.tensors.push_back({layer, std::move(dtype), std::move(shape), memory.back()});
  }

  PutRequest from(ByteSource& source) const {
    PutRequest streamed = request;
    streamed.source = &source;
    for (TensorArgument& tensor : streamed.tensors) {
      tensor.announced = tensor.bytes.size();
      tensor.bytes = {};
    }
    return streamed;
  }
};

enum class Sizes { kSmall, kMixed };

/// Random and compressible tensors, empty ones, scalars, several to a layer, layers without any.
Sample random_sample(Random& random, std::size_t tensors, Sizes sizes) {
  Sample model(tensors + 1);
  std::uint32_t layer = 0;
  for (std::size_t i = 0; i < tensors; ++i) {
    if (random.chance(0.7)) ++layer;
    const bool large = sizes == Sizes::kMixed && random.chance(0.1);
    const std::size_t floats = random.below(6) == 0 ? 0 : 1 + random.below(large ? 1 << 21 : 300);
    std::vector<std::int64_t> shape{static_cast<std::int64_t>(floats)};
    if (random.chance(0.3)) shape.push_back(1);
    if (floats == 1 && random.chance(0.5)) shape.clear();
    model.add(layer, random.chance(0.5) ? "float32" : "int32", shape,
              random.chance(0.5) ? random.bytes(4 * floats) : Bytes(4 * floats, 7));
  }
  return model;
}

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files.push_back(entry.path().string());
  }
  return files;
}

Bytes only_segment(const std::string& store) {
  const auto files = files_in(store + "/segments");
  CHECK_EQ(files.size(), 1U);
  return files.empty() ? Bytes{} : read_file(files[0]);
}

void check_empty(Engine& engine) {
  CHECK_EQ(engine.num_models(), 0U);
  CHECK_EQ(files_in(engine.folder() + "/segments").size(), 0U);
  CHECK_EQ(files_in(engine.folder() + "/tmp").size(), 0U);
}

/// A folder with a store for the model from memory, and for others made from pieces.
class Twins {
 public:
  Twins(const Sample& model, EngineOptions options, const std::string& parent = "")
      : model_(model), options_(options), folder_(parent) {
    Engine engine(folder_ / "memory", options_);
    expected_ = engine.put(model_.request);
    segment_ = only_segment(engine.folder());
  }

  void check_same(Pieces source) {
    const std::string folder = folder_ / ("pieces-" + std::to_string(made_++));
    Engine engine(folder, options_);
    const PutResult result = engine.put(model_.from(source));
    CHECK_EQ(result.bytes_stored, expected_.bytes_stored);
    CHECK_EQ(result.layers_stored, expected_.layers_stored);
    CHECK(only_segment(folder) == segment_);
    CHECK_EQ(files_in(folder + "/tmp").size(), 0U);
    CHECK_EQ(engine.verify().problems.size(), 0U);
    const auto& layers = engine.model(kId).layers;
    CHECK_EQ(std::accumulate(layers.begin(), layers.end(), std::uint64_t{0},
                             [](auto sum, const auto& layer) { return sum + layer.bytes; }),
             model_.stream.size());
  }

 private:
  const Sample& model_;
  EngineOptions options_;
  Scratch folder_;
  PutResult expected_;
  Bytes segment_;
  int made_ = 0;
};

std::vector<EngineOptions> all_options() {
  std::vector<EngineOptions> all;
  for (const Codec codec : {Codec::kRaw, Codec::kLz4, Codec::kZstd}) {
    for (const bool checksums : {true, false})
      all.push_back({.checksums = checksums, .codec = codec});
  }
  return all;
}

CASE(put_stream_gives_the_same_segment) {
  Random random(21);
  for (const EngineOptions& options : all_options()) {
    for (const std::size_t tensors : {1, 2, 40}) {
      const Sample model = random_sample(random, tensors, Sizes::kMixed);
      Twins twins(model, options);
      twins.check_same(in_pieces_of(2 << 20, model.stream));
      twins.check_same({model.stream, [&] { return 1 + random.below(3 << 20); }});
      twins.check_same({model.stream, [&] { return 1 + random.below(5000); }});
    }
    const Sample small = random_sample(random, 2000, Sizes::kSmall);
    Twins twins(small, options);
    twins.check_same(in_pieces_of(small.stream.size(), small.stream));
    twins.check_same({small.stream, [&] { return 1 + random.below(3000); }});
  }
}

/// Where space may be set aside before it is written.
CASE(put_stream_on_disk) {
  const std::string disk = std::filesystem::temp_directory_path();
  Random random(20);
  const Sample mixed = random_sample(random, 60, Sizes::kMixed);
  Twins twins(mixed, {}, disk);
  twins.check_same(in_pieces_of(2 << 20, mixed.stream));
  twins.check_same({mixed.stream, [&] { return 1 + random.below(3 << 20); }});
  Sample large(1);
  large.add(0, "uint8", {70 << 20}, Bytes(70 << 20, 7));
  Twins(large, {.sync = true, .codec = {}}, disk).check_same(in_pieces_of(2 << 20, large.stream));
}

CASE(put_stream_of_single_bytes) {
  Random random(22);
  for (const EngineOptions& options : all_options()) {
    const Sample model = random_sample(random, 12, Sizes::kSmall);
    Twins(model, options).check_same(in_pieces_of(1, model.stream));
  }
}

CASE(put_stream_of_empty_tensors) {
  Sample model(2);
  model.add(0, "float32", {0, 3}, {});
  model.add(1, "float32", {0}, {});
  for (const EngineOptions& options : all_options()) {
    Twins(model, options).check_same(in_pieces_of(10, model.stream));
  }
}

CASE(put_stream_without_tensors) {
  const Scratch scratch;
  Engine engine(scratch / "store", {});
  const Sample model(3);
  const Bytes one(1);
  Pieces too_long = in_pieces_of(1, one);
  CHECK_THROWS(engine.put(model.from(too_long)), ErrorCode::kInvalidValue);
  check_empty(engine);
  Pieces nothing = in_pieces_of(1, model.stream);
  CHECK_EQ(engine.put(model.from(nothing)).bytes_stored, 0U);
  CHECK(engine.contains(kId));
}

/// What the message of a refused put says.
std::string refusal(Engine& engine, const PutRequest& request) {
  try {
    engine.put(request);
  } catch (const StoreException& error) {
    CHECK_EQ(error.code(), ErrorCode::kInvalidValue);
    return error.what();
  }
  CHECK(!"the put was refused");
  return "";
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

CASE(put_stream_of_another_length_is_refused) {
  Random random(23);
  const Sample model = random_sample(random, 30, Sizes::kSmall);
  const std::string announced = std::to_string(model.stream.size()) + " bytes";
  for (const EngineOptions& options : all_options()) {
    const Scratch scratch;
    Engine engine(scratch / "store", options);
    const auto check_refused = [&](const Bytes& stream, std::size_t piece,
                                   const std::string& came) {
      Pieces source = in_pieces_of(piece, stream);
      const std::string why = refusal(engine, model.from(source));
      CHECK(has(why, announced));
      CHECK(has(why, came + " came"));
      check_empty(engine);
    };
    for (int i = 0; i < 20; ++i) {
      Bytes shorter = model.stream;
      shorter.resize(random.below(shorter.size()));
      check_refused(shorter, 1 + random.below(5000), "and " + std::to_string(shorter.size()));
      Bytes longer = model.stream;
      longer.resize(longer.size() + 1 + random.below(100));
      check_refused(longer, longer.size(), "at least " + std::to_string(longer.size()));
      check_refused(longer, model.stream.size(), "at least " + std::to_string(longer.size()));
    }
    Pieces source = in_pieces_of(1000, model.stream);
    engine.put(model.from(source));  // the id is still free
  }
}

/// Does something instead of giving the last bytes.
class Interrupted : public Pieces {
 public:
  Interrupted(const Bytes& bytes, std::size_t piece, int pieces, std::function<void()> interrupt)
      : Pieces(bytes, [piece] { return piece; }), left_(pieces), interrupt_(std::move(interrupt)) {}

  std::span<const std::uint8_t> take() override {
    if (left_-- == 0) interrupt_();
    return Pieces::take();
  }

 private:
  int left_;
  std::function<void()> interrupt_;
};

CASE(put_stream_whose_client_is_gone) {
  Random random(24);
  const Sample model = random_sample(random, 30, Sizes::kMixed);
  const std::size_t piece = 1 + model.stream.size() / 10;
  for (const EngineOptions& options : all_options()) {
    const Scratch scratch;
    Engine engine(scratch / "store", options);
    for (const int pieces : {0, 1, 5, 10}) {  // the last one: when nothing but the end is to come
      Interrupted source(model.stream, piece, pieces,
                         [] { throw StoreException(ErrorCode::kUnreachable, "gone"); });
      CHECK_THROWS(engine.put(model.from(source)), ErrorCode::kUnreachable);
      check_empty(engine);
    }
  }
}

CASE(put_stream_whose_id_is_taken_meanwhile) {
  const Scratch scratch;
  Engine engine(scratch / "store", {});
  Random random(25);
  const Sample model = random_sample(random, 10, Sizes::kSmall);
  Interrupted source(model.stream, 1000, 1, [&] { engine.put(model.request); });
  CHECK_THROWS(engine.put(model.from(source)), ErrorCode::kExists);
  CHECK_EQ(files_in(engine.folder() + "/tmp").size(), 0U);
  CHECK_EQ(engine.verify().problems.size(), 0U);
  Interrupted untouched(model.stream, 1000, 0, [] { CHECK(!"the source is asked"); });
  CHECK_THROWS(engine.put(model.from(untouched)), ErrorCode::kExists);
}

CASE(put_stream_that_makes_no_sense_is_refused_unread) {
  const Scratch scratch;
  Engine engine(scratch / "store", {});
  Sample model(3);
  model.add(0, "float32", {2, 3}, Bytes(24));
  model.add(2, "int8", {5}, Bytes(5));
  const auto refused = [&](const std::function<void(std::vector<TensorArgument>&)>& change,
                           const std::string& why) {
    Interrupted source(model.stream, 10, 0, [] { CHECK(!"the source is asked"); });
    PutRequest request = model.from(source);
    change(request.tensors);
    CHECK(has(refusal(engine, request), why));
    check_empty(engine);
  };
  constexpr std::int64_t kLong = std::int64_t{1} << 31;
  refused([](auto& t) { std::swap(t[0], t[1]); }, "layer 0 after one of layer 2");
  refused([](auto& t) { t[1].layer = 3; }, "layer 3 of 3");
  refused([](auto& t) { t[0].announced = 25; }, "shape (2, 3) and dtype float32 cannot have 25");
  refused(
      [](auto& t) {
        t[0].announced = 0;
        t[0].shape = {kLong, kLong, 4};
      },
      "cannot have 0");
  refused([](auto& t) { t[0].shape = {0}; }, "shape (0) and dtype float32 cannot have 24");
  refused([](auto& t) { t[0].shape = {-1, 24}; }, "dimension of -1");
  refused([](auto& t) { t[0].shape = {std::int64_t{1} << 32, 0}; }, "dimension of 4294967296");
  refused([](auto& t) { t[0].shape.assign(256, 1); }, "255 dimensions");
  refused([](auto& t) { t[0].dtype = ""; }, "0 letters");
  refused([](auto& t) { t[0].dtype = std::string(65, 'f'); }, "65 letters");
  refused([](auto& t) { t[0].dtype = "float\n32"; }, "printable");
  refused([](auto& t) { t[0].dtype = "fl\xC3\xB6t"; }, "printable");
  refused([&](auto& t) { t[0].bytes = model.memory[0]; }, "either in memory");
  const std::uint64_t half = std::uint64_t{1} << 63;
  refused(
      [&](auto& t) {
        t[0].shape = t[1].shape = {};
        t[0].announced = t[1].announced = half;
      },
      "more than 1152921504606846976 bytes");
}

CASE(put_checks_tensors_in_memory_too) {
  const Scratch scratch;
  Engine engine(scratch / "store", {});
  Sample model(1);
  model.add(0, "float32", {5}, Bytes(20));
  const auto refused = [&](const std::function<void(TensorArgument&)>& change) {
    PutRequest request = model.request;
    change(request.tensors[0]);
    CHECK_THROWS(engine.put(request), ErrorCode::kInvalidValue);
    check_empty(engine);
  };
  refused([](TensorArgument& t) { t.shape = {3}; });
  refused([](TensorArgument& t) { t.dtype = ""; });
  refused([](TensorArgument& t) { t.announced = 20; });
  Pieces source = in_pieces_of(10, model.stream);
  CHECK_THROWS(engine.put_many({Sample(1).from(source)}), ErrorCode::kInvalidValue);
  engine.put(model.request);
}

/// Runs something in a child process and gives its end, as waitpid does.
int end_of_child(const std::function<void()>& body) {
  const ::pid_t child = ::fork();
  if (child == 0) {
    try {
      body();
    } catch (...) {
      ::_exit(2);
    }
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

CASE(put_stream_killed_midway) {
  Random random(26);
  const Sample model = random_sample(random, 30, Sizes::kMixed);
  const std::size_t piece = 1 + model.stream.size() / 10;
  for (const Codec codec : {Codec::kRaw, Codec::kLz4}) {
    const Scratch scratch;
    {
      const Engine made(scratch / "store", {.codec = codec});
    }
    for (const int pieces : {0, 1, 5, 10}) {
      const int status = end_of_child([&] {
        Engine engine(scratch / "store", {});
        Interrupted source(model.stream, piece, pieces, [] { ::kill(::getpid(), SIGKILL); });
        engine.put(model.from(source));
      });
      CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
      CHECK_EQ(files_in(scratch / "store/tmp").size(), 1U);
      Engine engine(scratch / "store", {});
      check_empty(engine);
      CHECK_EQ(engine.take_warnings().size(), 0U);
    }
    Engine engine(scratch / "store", {});
    Pieces source = in_pieces_of(piece, model.stream);
    engine.put(model.from(source));
    CHECK_EQ(engine.verify().problems.size(), 0U);
  }
}

CASE(put_stream_that_cannot_be_written) {
  Random random(27);
  const Sample model = random_sample(random, 30, Sizes::kMixed);
  const Scratch scratch;
  {
    const Engine made(scratch / "store", {});
  }
  // A file may not grow as large as the segment; only a process that ends soon is limited so.
  const int status = end_of_child([&] {
    Engine engine(scratch / "store", {});
    ::signal(SIGXFSZ, SIG_IGN);
    const ::rlimit limit{model.stream.size() / 2, RLIM_INFINITY};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(3);
    Pieces source = in_pieces_of(100'000, model.stream);
    try {
      engine.put(model.from(source));
    } catch (const StoreException& error) {
      ::_exit(error.code() == ErrorCode::kIo && files_in(engine.folder() + "/tmp").empty() ? 0 : 4);
    }
  });
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 0);
  Engine engine(scratch / "store", {});
  check_empty(engine);
}

CASE(put_stream_on_a_full_disk) {
  constexpr int kNotAllowed = 77;
  Random random(28);
  const Sample model = random_sample(random, 30, Sizes::kMixed);
  const Scratch scratch;
  const int status = end_of_child([&] {
    // A small file system that only this process sees.
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", scratch.path().c_str(), "tmpfs", 0, "size=1m") != 0) {
      ::_exit(kNotAllowed);
    }
    Engine engine(scratch / "store", {});
    for (int i = 0; i < 3; ++i) {
      Pieces source = in_pieces_of(100'000, model.stream);
      try {
        engine.put(model.from(source));
        ::_exit(3);
      } catch (const StoreException& error) {
        if (error.code() != ErrorCode::kFull) ::_exit(4);
      }
      if (engine.num_models() != 0 || !files_in(engine.folder() + "/tmp").empty()) ::_exit(5);
    }
    ::_exit(0);
  });
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == kNotAllowed);
}

}  // namespace
}  // namespace parsl_tl::testing
