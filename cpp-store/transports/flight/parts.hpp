// Bulk data in parts: how pieces of memory are cut into them, and the record batches they travel
// as.
#pragma once

#include <arrow/buffer.h>
#include <arrow/record_batch.h>
#include <arrow/result.h>

#include <memory>

#include "transport.hpp"

namespace parsl_tl {

/// Pieces below this are copied together where they are neighbours: a message costs as much time
/// as copying this number of bytes.
constexpr std::size_t kSmallPieceBytes = 64 << 10;

/// Cuts pieces into parts of kPartBytes at most. Parts point into the pieces, except where small
/// neighbours are gathered; `owner` lives for as long as any of those that do.
class PartCutter {
 public:
  PartCutter(ConstPieces pieces, std::shared_ptr<const void> owner);
  /// The next part; null at the end.
  arrow::Result<std::shared_ptr<arrow::Buffer>> next();

 private:
  std::shared_ptr<arrow::Buffer> borrow(std::span<const std::uint8_t> bytes) const;
  arrow::Result<std::shared_ptr<arrow::Buffer>> gather(std::size_t end, std::size_t bytes);

  ConstPieces pieces_;
  std::shared_ptr<const void> owner_;
  std::size_t piece_ = 0;
  std::size_t offset_ = 0;  // in that piece
};

/// One column of bytes, without nulls.
const std::shared_ptr<arrow::Schema>& part_schema();
std::shared_ptr<arrow::RecordBatch> as_batch(std::shared_ptr<arrow::Buffer> part);
/// The bytes of a batch that came from the other side. An error if it is none of part_schema().
arrow::Result<std::shared_ptr<arrow::Buffer>> part_of(const arrow::RecordBatch& batch);

}  // namespace parsl_tl
