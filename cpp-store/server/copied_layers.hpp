// Layers that a model takes over from a donor in a followed store: it owns copies of them, so that
// no reference leads from one store to another.
#pragma once

#include <memory>
#include <vector>

#include "byte_source.hpp"
#include "engine.hpp"
#include "put_request.hpp"

namespace parsl_tl {

/// A source of the model's tensors: those that come, and in between, in the order of the layers,
/// those of the donor.
class CopiedLayers final : public ByteSource {
 public:
  /// `upload` gives the tensors that the request has so far.
  CopiedLayers(std::shared_ptr<PinnedModel> donor, ByteSource& upload)
      : donor_(std::move(donor)), upload_(upload) {}

  /// Adds to the request what it lacks and the donor has, and becomes its source.
  void add_to(PutRequest& request);
  std::span<const std::uint8_t> take() override;

 private:
  struct Part {
    std::uint64_t uploaded = 0;              // so many bytes of the upload,
    std::span<const std::uint8_t> copied{};  // or these
  };
  std::span<const std::uint8_t> take_uploaded(std::uint64_t most);

  const std::shared_ptr<PinnedModel> donor_;
  ByteSource& upload_;
  std::vector<Part> parts_;
  std::size_t next_ = 0;
  std::span<const std::uint8_t> piece_;  // what is left of what the upload gave last
};

}  // namespace parsl_tl
