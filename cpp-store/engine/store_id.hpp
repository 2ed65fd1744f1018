// Who a folder is: 128 random bits, drawn when it is made, and who makes up a store with it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace parsl_tl {

/// How layers' histories are digested. Stores, clients and servers of one scheme do not understand
/// the layer names of another.
constexpr std::uint32_t kHashScheme = 2;

struct StoreId {
  std::array<std::uint8_t, 16> bytes{};

  static StoreId random();
  /// Of 32 hexadecimal digits; nothing for any other text.
  static std::optional<StoreId> parse(std::string_view text);
  std::string text() const;
  /// False for the one of zeros, which is nobody's.
  bool is_set() const noexcept { return bytes != decltype(bytes){}; }
  bool operator==(const StoreId&) const = default;
};

using StoreIds = std::vector<StoreId>;  // of all servers of a store, in their order

/// A number that tells one list from another.
std::uint64_t digest_of(const StoreIds& stores);
/// For messages: texts, separated by commas.
std::string text_of(const StoreIds& stores);

std::vector<std::string> texts_of(const StoreIds& stores);
/// Throws kInvalidValue for what is no identity.
StoreId parse_store(std::string_view text);
StoreIds parse_stores(const std::vector<std::string>& texts);

/// The identity that the FORMAT of a folder tells now; nothing if there is no store.
std::optional<StoreId> store_in(const std::string& folder);

}  // namespace parsl_tl
