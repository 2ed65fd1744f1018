#include "layer_name.hpp"

#include <array>
#include <charconv>

#include "errors.hpp"
#include "prefix_hash.hpp"

namespace parsl_tl {
namespace {

constexpr std::size_t kDigits = 16;

std::optional<std::uint64_t> parse(std::string_view digits, int base) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.begin(), digits.end(), value, base);
  if (error != std::errc() || end != digits.end() || digits.empty()) return std::nullopt;
  return value;
}

/// The hash at the end of the text, behind an underscore; `_` and digits only in lower case.
std::optional<LayerName> parse_hash(std::string_view text) {
  if (text.size() < kDigits + 1 || text[text.size() - kDigits - 1] != '_') return std::nullopt;
  const std::string_view digits = text.substr(text.size() - kDigits);
  if (digits.find_first_not_of("0123456789abcdef") != std::string_view::npos) return std::nullopt;
  return LayerName{text.substr(0, text.size() - kDigits - 1), *parse(digits, 16), 0};
}

}  // namespace

std::optional<LayerName> parse_layer_name(std::string_view name) {
  if (const auto plain = parse_hash(name)) return plain;
  const std::size_t underscore = name.rfind('_');
  if (underscore == std::string_view::npos) return std::nullopt;
  const std::string_view digits = name.substr(underscore + 1);
  const auto twin = parse(digits, 10);
  if (!twin || digits.front() == '0') return std::nullopt;
  auto parsed = parse_hash(name.substr(0, underscore));
  if (parsed) parsed->twin = *twin;
  return parsed;
}

std::string format_layer_name(std::string_view class_name, std::uint64_t prefix_hash,
                              std::uint64_t twin) {
  std::string name(class_name);
  name += '_';
  name += hex_id(prefix_hash);
  if (twin > 0) name.append(1, '_').append(std::to_string(twin));
  return name;
}

std::uint64_t layer_key(std::uint64_t prefix_hash, std::uint64_t twin) {
  if (twin == 0) return prefix_hash;
  return combine(std::array{prefix_hash, twin});
}

}  // namespace parsl_tl
