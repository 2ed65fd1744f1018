// Streams that do not come as announced, or cannot be written, leave nothing behind.
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "put_stream_samples.hpp"

namespace parsl_tl::testing {
namespace {

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
