// Stable layer names: class name, 16 hexadecimal digits of the prefix hash, and _k for a twin.
//
// A name and a layer's key say the same, but for the class: the key is the hash, or for the k-th
// twin the hash combined with k.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace parsl_tl {

struct LayerName {
  std::string_view class_name;
  std::uint64_t prefix_hash = 0;
  std::uint64_t twin = 0;
};

/// Nothing if the text is no stable name.
std::optional<LayerName> parse_layer_name(std::string_view name);

std::string format_layer_name(std::string_view class_name, std::uint64_t prefix_hash,
                              std::uint64_t twin = 0);

/// What the store indexes for a layer; unique in a model.
std::uint64_t layer_key(std::uint64_t prefix_hash, std::uint64_t twin);

}  // namespace parsl_tl
