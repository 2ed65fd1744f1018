#include "sink.hpp"

#include <algorithm>
#include <cstring>

#include "failures.hpp"

namespace parsl_tl {

void Sink::take(const std::shared_ptr<arrow::Buffer>& part) {
  const auto bytes = static_cast<std::uint64_t>(part->size());
  if (bytes == 0) return;
  if (bytes > size_ - offset_) {
    throw broken_stream(address_, "more than the expected " + std::to_string(size_) + " bytes");
  }
  if (!download_.keep(offset_, part)) write(*part);
  offset_ += bytes;
}

void Sink::finish() const {
  if (offset_ == size_ || offset_ == 0) return;
  throw broken_stream(
      address_, std::to_string(offset_) + " of the expected " + std::to_string(size_) + " bytes");
}

void Sink::write(const arrow::Buffer& part) {
  const Pieces& pieces = download_.memory();
  if (size_of(pieces) != size_) {
    throw StoreException(ErrorCode::kInvalidValue, "a download of " + std::to_string(size_) +
                                                       " bytes has memory for " +
                                                       std::to_string(size_of(pieces)));
  }
  const std::uint8_t* from = part.data();
  auto left = static_cast<std::size_t>(part.size());
  std::uint64_t at = offset_;
  while (left > 0) {
    while (at >= piece_start_ + pieces[piece_].size()) piece_start_ += pieces[piece_++].size();
    const auto room = pieces[piece_].subspan(at - piece_start_);
    const std::size_t count = std::min(left, room.size());
    std::memcpy(room.data(), from, count);
    from += count;
    at += count;
    left -= count;
  }
}

}  // namespace parsl_tl
