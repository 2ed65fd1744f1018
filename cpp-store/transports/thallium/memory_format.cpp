#include "memory_format.hpp"

#include <string>

#include "errors.hpp"

namespace parsl_tl::mochi {

Bulk register_memory(margo_instance_id margo, const void* data, std::size_t size,
                     hg_uint8_t access) {
  void* address = const_cast<void*>(data);  // `access` says that it is only read
  const hg_size_t length = size;
  hg_bulk_t bulk = HG_BULK_NULL;
  const hg_return_t result = margo_bulk_create(margo, 1, &address, &length, access, &bulk);
  if (result == HG_SUCCESS) return Bulk(bulk);
  throw StoreException(ErrorCode::kIo,
                       "cannot register " + std::to_string(size) +
                           " bytes of memory with Mercury: " + HG_Error_to_string(result) +
                           "; is there a limit to locked memory (ulimit -l)?");
}

MemoryFormat::MemoryFormat(margo_instance_id margo, hg_uint8_t access) : margo_(margo) {
  // Sizes that differ in each byte that counts, and are no other number in the form.
  const std::vector<char> first_memory(0x3531);
  const std::vector<char> second_memory(0x4642);
  const Bulk first_bulk = register_memory(margo, first_memory.data(), first_memory.size(), access);
  const Bulk second_bulk =
      register_memory(margo, second_memory.data(), second_memory.size(), access);
  bytes_ = margo_bulk_get_serialize_size(first_bulk.get(), 0);
  const Words first = serialized(first_bulk);
  const Words second = serialized(second_bulk);
  form_ = second;
  const auto address_of = [](const std::vector<char>& memory) {
    return reinterpret_cast<std::uint64_t>(memory.data());
  };
  for (std::size_t i = 0; i < form_.size() && i < first.size(); ++i) {
    if (first[i] == second[i]) continue;
    if (first[i] == address_of(first_memory) && second[i] == address_of(second_memory)) {
      addresses_.push_back(i);
    } else if (first[i] == first_memory.size() && second[i] == second_memory.size()) {
      sizes_.push_back(i);
    } else {
      keys_.push_back(i);
    }
    form_[i] = 0;
  }
  const bool is_known =
      first.size() == second.size() && !addresses_.empty() && !sizes_.empty() && keys_.size() <= 1;
  if (!is_known) {
    throw StoreException(ErrorCode::kIo,
                         "this release of Mercury describes registered memory in a way that is "
                         "not understood; use Mercury 2.4, or another transport");
  }
}

MemoryFormat::Words MemoryFormat::serialized(const Bulk& bulk) const {
  const hg_size_t bytes = margo_bulk_get_serialize_size(bulk.get(), 0);
  Words words((bytes + sizeof(std::uint64_t) - 1) / sizeof(std::uint64_t));
  const hg_return_t result = margo_bulk_serialize(words.data(), bytes, 0, bulk.get());
  if (result == HG_SUCCESS) return words;
  throw StoreException(ErrorCode::kIo, std::string("cannot describe registered memory: ") +
                                           HG_Error_to_string(result));
}

RemotePiece MemoryFormat::describe(const Bulk& bulk) const {
  const Words words = serialized(bulk);
  return {.address = words[addresses_.front()],
          .key = keys_.empty() ? 0 : words[keys_.front()],
          .offset = 0,
          .size = words[sizes_.front()]};
}

MemoryFormat::Words MemoryFormat::filled(std::uint64_t address, std::uint64_t size,
                                         std::uint64_t key) const {
  Words words = form_;
  for (const std::size_t i : addresses_) words[i] = address;
  for (const std::size_t i : sizes_) words[i] = size;
  for (const std::size_t i : keys_) words[i] = key;
  return words;
}

Bulk MemoryFormat::adopt(const RemotePiece& piece) const {
  // Mercury takes an address of zero for memory without a key, and then follows a null pointer.
  if (piece.address == 0 || piece.size == 0 || piece.offset + piece.size < piece.size) {
    throw StoreException(ErrorCode::kUnreachable, "the client's memory has no address");
  }
  const Words words = filled(piece.address, piece.offset + piece.size, piece.key);
  hg_bulk_t bulk = HG_BULK_NULL;
  const hg_return_t result = margo_bulk_deserialize(margo_, &bulk, words.data(), bytes_);
  if (result == HG_SUCCESS) return Bulk(bulk);
  throw StoreException(ErrorCode::kUnreachable, std::string("cannot reach the client's memory: ") +
                                                    HG_Error_to_string(result));
}

}  // namespace parsl_tl::mochi
