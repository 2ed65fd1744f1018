// Models whose tensors follow from their owner and their layer, so that whoever reads them knows
// what has to come.
#pragma once

#include <memory>
#include <vector>

#include "put_request.hpp"
#include "random.hpp"
#include "scratch.hpp"

namespace parsl_tl::testing {

constexpr std::uint64_t kSampleLayers = 12;

/// Layer number `layer` in one of its forms: models share a prefix as long as the forms are the
/// same.
std::uint64_t sample_hash(std::uint64_t layer, std::uint64_t form);
/// The tensors that an owner has of a layer: some of none, some of empty ones, sizes of all kinds.
std::vector<Bytes> sample_tensors(std::uint64_t owner, std::uint64_t key);
std::uint64_t sample_bytes(std::uint64_t owner, std::uint64_t key);

/// A request with the memory that it points to.
class SampleModel {
 public:
  SampleModel(std::uint64_t id, double quality);
  SampleModel(const SampleModel&) = delete;
  SampleModel& operator=(const SampleModel&) = delete;

  /// Adds a layer, with tensors of its own if it is to have them.
  void add(std::uint64_t hash, bool has_tensors);

  PutRequest request;

 private:
  std::vector<Bytes> memory_;
};

/// A random one, with fewer tensors of its own if it has somebody to inherit from.
std::unique_ptr<SampleModel> random_sample_model(std::uint64_t id,
                                                 const std::vector<std::uint64_t>& living,
                                                 const std::vector<std::uint64_t>& used,
                                                 Random& random);

/// Keys of layers such as models have, ascending or not.
std::vector<std::uint64_t> random_query(Random& random);

}  // namespace parsl_tl::testing
