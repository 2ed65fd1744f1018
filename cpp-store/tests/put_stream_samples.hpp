// Models whose tensors come in pieces, and what their puts leave in a store.
#pragma once

#include <algorithm>
#include <filesystem>
#include <functional>

#include "check.hpp"
#include "engine.hpp"
#include "layer_name.hpp"
#include "random.hpp"
#include "scratch.hpp"

namespace parsl_tl::testing {

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

inline Pieces in_pieces_of(std::size_t size, const Bytes& bytes) {
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
inline Sample random_sample(Random& random, std::size_t tensors, Sizes sizes) {
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

inline std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files.push_back(entry.path().string());
  }
  return files;
}

inline Bytes only_segment(const std::string& store) {
  const auto files = files_in(store + "/segments");
  CHECK_EQ(files.size(), 1U);
  return files.empty() ? Bytes{} : read_file(files[0]);
}

inline void check_empty(Engine& engine) {
  CHECK_EQ(engine.num_models(), 0U);
  CHECK_EQ(files_in(engine.folder() + "/segments").size(), 0U);
  CHECK_EQ(files_in(engine.folder() + "/tmp").size(), 0U);
}

inline std::vector<EngineOptions> all_options() {
  std::vector<EngineOptions> all;
  for (const Codec codec : {Codec::kRaw, Codec::kLz4, Codec::kZstd}) {
    for (const bool checksums : {true, false})
      all.push_back({.checksums = checksums, .codec = codec});
  }
  return all;
}

}  // namespace parsl_tl::testing
