// Tensors that come in pieces make the same segments as from memory.
#include <numeric>

#include "put_stream_samples.hpp"

namespace parsl_tl::testing {
namespace {

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

}  // namespace
}  // namespace parsl_tl::testing
