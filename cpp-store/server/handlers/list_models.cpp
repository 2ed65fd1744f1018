#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/api.h>

#include <algorithm>

#include "handlers.hpp"

namespace parsl_tl {
namespace {

// Of one page. A row takes about a hundred and its attributes.
constexpr std::int64_t kPageBytes = 4 << 20;
constexpr std::int64_t kPageRows = kPageBytes / 128;

template <typename T>
T check(arrow::Result<T> result) {
  if (!result.ok()) throw StoreException(ErrorCode::kIo, result.status().ToString());
  return std::move(result).ValueUnsafe();
}

std::string page_of(const arrow::RecordBatch& table, std::int64_t first, std::int64_t rows) {
  const auto sink = check(arrow::io::BufferOutputStream::Create());
  const auto writer = check(arrow::ipc::MakeStreamWriter(sink, table.schema()));
  const auto status = writer->WriteRecordBatch(*table.Slice(first, rows));
  if (!status.ok()) throw StoreException(ErrorCode::kIo, status.ToString());
  return check(sink->Finish())->ToString();
}

}  // namespace

ListModelsReply handle(CallContext& call, const ListModelsRequest& request) {
  // The pages are those of one table, whatever is stored meanwhile. It is kept until the client
  // asks for what is behind its end: a page may have to be sent again.
  auto table = request.first == 0 ? nullptr : call.client.listing();
  if (table == nullptr) table = call.engine.models();
  const std::int64_t rows = table->num_rows();
  const auto first =
      static_cast<std::int64_t>(std::min(request.first, static_cast<std::uint64_t>(rows)));
  std::int64_t page = std::min(rows - first, kPageRows);
  ListModelsReply reply;
  reply.table = page_of(*table, first, page);
  while (static_cast<std::int64_t>(reply.table.size()) > kPageBytes && page > 1) {
    page /= 2;
    reply.table = page_of(*table, first, page);
  }
  reply.rows = static_cast<std::uint64_t>(rows);
  const bool is_whole = first == 0 && page == rows;
  call.client.set_listing(is_whole || first == rows ? nullptr : table);
  return reply;
}

}  // namespace parsl_tl
