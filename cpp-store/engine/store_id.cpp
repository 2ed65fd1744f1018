#include "store_id.hpp"

#include <cstring>
#include <random>

#include "errors.hpp"

namespace parsl_tl {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

}  // namespace

StoreId StoreId::random() {
  std::random_device random;
  StoreId id;
  for (std::size_t i = 0; i < id.bytes.size(); i += sizeof(std::uint32_t)) {
    const std::uint32_t word = random();
    std::memcpy(&id.bytes[i], &word, sizeof word);
  }
  return id;
}

std::optional<StoreId> StoreId::parse(std::string_view text) {
  StoreId id;
  if (text.size() != 2 * id.bytes.size()) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::size_t digit = std::string_view(kDigits).find(text[i]);
    if (digit == std::string_view::npos) return std::nullopt;
    id.bytes[i / 2] = static_cast<std::uint8_t>(id.bytes[i / 2] << 4 | digit);
  }
  return id;
}

std::string StoreId::text() const {
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::uint64_t digest_of(const StoreIds& stores) {
  std::uint64_t digest = 0xCBF29CE484222325U;
  for (const StoreId& store : stores) {
    for (const std::uint8_t byte : store.bytes) digest = (digest ^ byte) * 0x100000001B3U;
  }
  return digest;
}

std::string text_of(const StoreIds& stores) {
  std::string text;
  for (const StoreId& store : stores) text += (text.empty() ? "" : ", ") + store.text();
  return text;
}

std::vector<std::string> texts_of(const StoreIds& stores) {
  std::vector<std::string> texts;
  for (const StoreId& store : stores) texts.push_back(store.text());
  return texts;
}

StoreId parse_store(std::string_view text) {
  const auto id = StoreId::parse(text);
  if (!id) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "'" + std::string(text) + "' is no identity of a store");
  }
  return *id;
}

StoreIds parse_stores(const std::vector<std::string>& texts) {
  StoreIds stores;
  for (const std::string& text : texts) stores.push_back(parse_store(text));
  return stores;
}

}  // namespace parsl_tl
