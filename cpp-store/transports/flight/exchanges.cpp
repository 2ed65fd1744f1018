#include "exchanges.hpp"

#include <arrow/buffer.h>
#include <arrow/record_batch.h>
#include <arrow/result.h>

#include "errors.hpp"
#include "parts.hpp"

namespace parsl_tl {

void PlainExchange::throw_client_gone(const std::string& what) const {
  throw StoreException(ErrorCode::kUnreachable,
                       "the client " + context_.peer() + " is gone" + what);
}

void PlainExchange::send(const ConstPieces& pieces, std::shared_ptr<const void> owner) {
  if (sent_) throw StoreException(ErrorCode::kInvalidValue, "a reply has one stream of bytes");
  if (size_of(pieces) != expected_) {
    throw StoreException(ErrorCode::kInvalidValue, "the client expects " +
                                                       std::to_string(expected_) + " bytes, not " +
                                                       std::to_string(size_of(pieces)));
  }
  if (context_.is_cancelled()) throw_client_gone("");
  sent_ = true;
  pieces_ = pieces;
  owner_ = std::move(owner);
}

std::span<const std::uint8_t> UploadExchange::take() {
  if (is_taken()) return {};
  slot_.pause();
  const auto part = read();
  if (!slot_.resume()) throw_client_gone("");
  if (!part.ok()) throw_client_gone(": " + part.status().message());
  part_ = *part;
  return {part_->data(), static_cast<std::size_t>(part_->size())};
}

arrow::Result<std::shared_ptr<arrow::Buffer>> UploadExchange::read() {
  // A client may send empty parts, and an empty part would be taken for the end.
  while (true) {
    ARROW_ASSIGN_OR_RAISE(const auto chunk, reader_.Next());
    if (!chunk.data) {
      return arrow::Status::Invalid("the upload ended after ", taken_, " of ", size_, " bytes");
    }
    ARROW_ASSIGN_OR_RAISE(auto part, part_of(*chunk.data));
    const auto bytes = static_cast<std::uint64_t>(part->size());
    if (bytes == 0) continue;
    if (bytes > size_ - taken_) {
      return arrow::Status::Invalid("the upload has more than ", size_, " bytes");
    }
    taken_ += bytes;
    return part;
  }
}

arrow::Status UploadExchange::finish() {
  while (!is_taken()) ARROW_RETURN_NOT_OK(read());
  part_.reset();
  while (true) {
    ARROW_ASSIGN_OR_RAISE(const auto chunk, reader_.Next());
    if (!chunk.data) return arrow::Status::OK();
    if (chunk.data->num_rows() != 0) {
      return arrow::Status::Invalid("the upload has more than ", size_, " bytes");
    }
  }
}

}  // namespace parsl_tl
