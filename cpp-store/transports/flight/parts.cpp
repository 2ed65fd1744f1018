#include "parts.hpp"

#include <arrow/array/data.h>
#include <arrow/type.h>

#include <algorithm>
#include <cstring>

namespace parsl_tl {
namespace {

/// Memory of somebody else's, who lives at least as long.
class BorrowedBuffer final : public arrow::Buffer {
 public:
  BorrowedBuffer(std::span<const std::uint8_t> bytes, std::shared_ptr<const void> owner)
      : arrow::Buffer(bytes.data(), static_cast<std::int64_t>(bytes.size())),
        owner_(std::move(owner)) {}

 private:
  std::shared_ptr<const void> owner_;
};

}  // namespace

PartCutter::PartCutter(ConstPieces pieces, std::shared_ptr<const void> owner)
    : pieces_(std::move(pieces)), owner_(std::move(owner)) {}

std::shared_ptr<arrow::Buffer> PartCutter::borrow(std::span<const std::uint8_t> bytes) const {
  return std::make_shared<BorrowedBuffer>(bytes, owner_);
}

arrow::Result<std::shared_ptr<arrow::Buffer>> PartCutter::gather(std::size_t end,
                                                                 std::size_t bytes) {
  ARROW_ASSIGN_OR_RAISE(auto part, arrow::AllocateBuffer(static_cast<std::int64_t>(bytes)));
  std::uint8_t* out = part->mutable_data();
  for (; piece_ < end; ++piece_) {
    const auto& piece = pieces_[piece_];
    if (!piece.empty()) std::memcpy(out, piece.data(), piece.size());
    out += piece.size();
  }
  return std::shared_ptr<arrow::Buffer>(std::move(part));
}

arrow::Result<std::shared_ptr<arrow::Buffer>> PartCutter::next() {
  while (piece_ < pieces_.size() && pieces_[piece_].empty()) ++piece_;
  if (piece_ == pieces_.size()) return nullptr;

  if (offset_ == 0) {
    std::size_t end = piece_;
    std::size_t bytes = 0;
    while (end < pieces_.size() && pieces_[end].size() < kSmallPieceBytes &&
           bytes + pieces_[end].size() <= kPartBytes) {
      bytes += pieces_[end++].size();
    }
    if (end > piece_ + 1) return gather(end, bytes);
  }

  const auto rest = pieces_[piece_].subspan(offset_);
  const auto bytes = rest.first(std::min(rest.size(), kPartBytes));
  offset_ += bytes.size();
  if (bytes.size() == rest.size()) {
    ++piece_;
    offset_ = 0;
  }
  return borrow(bytes);
}

const std::shared_ptr<arrow::Schema>& part_schema() {
  static const auto schema =
      arrow::schema({arrow::field("part", arrow::uint8(), /*nullable=*/false)});
  return schema;
}

std::shared_ptr<arrow::RecordBatch> as_batch(std::shared_ptr<arrow::Buffer> part) {
  const std::int64_t rows = part->size();
  auto column = arrow::ArrayData::Make(arrow::uint8(), rows, {nullptr, std::move(part)},
                                       /*null_count=*/0);
  std::vector<std::shared_ptr<arrow::ArrayData>> columns{std::move(column)};
  return arrow::RecordBatch::Make(part_schema(), rows, std::move(columns));
}

arrow::Result<std::shared_ptr<arrow::Buffer>> part_of(const arrow::RecordBatch& batch) {
  if (batch.num_columns() != 1 || batch.column_data(0)->type->id() != arrow::Type::UINT8) {
    return arrow::Status::Invalid("a part has one column of bytes, and this has the schema ",
                                  batch.schema()->ToString());
  }
  const auto& column = *batch.column_data(0);
  // Lengths and buffers come from the other side: nothing has checked yet that they fit.
  if (column.buffers.size() != 2 || column.offset != 0 || column.length < 0 ||
      column.GetNullCount() != 0) {
    return arrow::Status::Invalid("a part's column is no plain column of bytes");
  }
  if (column.length == 0) return std::make_shared<arrow::Buffer>(nullptr, 0);
  const auto& bytes = column.buffers[1];
  if (!bytes || bytes->size() < column.length) {
    return arrow::Status::Invalid("a part has fewer bytes than it says (", column.length, ")");
  }
  return bytes->size() == column.length ? bytes : arrow::SliceBuffer(bytes, 0, column.length);
}

}  // namespace parsl_tl
