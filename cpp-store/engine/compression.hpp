// Tensors compressed by Arrow's codecs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "segment.hpp"

namespace parsl_tl {

/// Compresses into `out`. False when it would not save a twentieth: then raw is better, since a
/// raw tensor is read without a copy.
bool compress(Codec codec, std::span<const std::uint8_t> bytes, std::vector<std::uint8_t>& out);

/// Fills `out` with exactly `size` bytes; false when the input holds fewer or more.
bool decompress(Codec codec, std::span<const std::uint8_t> bytes, std::uint64_t size,
                std::vector<std::uint8_t>& out);

}  // namespace parsl_tl
