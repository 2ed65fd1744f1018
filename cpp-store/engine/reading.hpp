// Reading many tensors of one model at once: verified where that is due, on several threads where
// the amount is worth it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine.hpp"

namespace parsl_tl {

/// The bytes of every tensor of a layer.
using LayerBytes = std::vector<std::span<const std::uint8_t>>;

/// Verified bytes of the layers at the given places; they live as long as the pinned model. Throws
/// kCorrupt.
std::vector<LayerBytes> view_layers(const PinnedModel& model, std::span<const std::size_t> places);

/// Memory for every tensor of a layer.
using LayerMemory = std::vector<std::span<std::uint8_t>>;

/// Copies the layers at the given places into memory of exactly their tensors' sizes. Throws
/// kInvalidValue if it is not, kCorrupt for damaged bytes (what was copied is then of no use).
void copy_layers(const PinnedModel& model, std::span<const std::size_t> places,
                 std::span<const LayerMemory> memory);

}  // namespace parsl_tl
