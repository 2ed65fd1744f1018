// What all servers tell together.
#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/api.h>

#include "errors.hpp"
#include "remote_store.hpp"
#include "requests/list_models.hpp"
#include "requests/stats.hpp"
#include "requests/verify.hpp"

namespace parsl_tl {
namespace {

template <typename T>
T check(arrow::Result<T> result) {
  if (!result.ok()) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "malformed reply: " + result.status().ToString());
  }
  return std::move(result).ValueUnsafe();
}

/// Where Arrow gets no memory. A table lies in its message, but for what is compressed: a few bytes
/// that announce a gigabyte are refused.
arrow::MemoryPool* no_memory() {
  static arrow::ProxyMemoryPool counted(arrow::default_memory_pool());
  static arrow::CappedMemoryPool none(&counted, 0);
  return &none;
}

std::shared_ptr<arrow::Table> table_of(std::string bytes) {
  const auto stream =
      std::make_shared<arrow::io::BufferReader>(arrow::Buffer::FromString(std::move(bytes)));
  auto options = arrow::ipc::IpcReadOptions::Defaults();
  options.use_threads = false;
  options.memory_pool = no_memory();
  auto table = check(check(arrow::ipc::RecordBatchStreamReader::Open(stream, options))->ToTable());
  const auto status = table->ValidateFull();
  if (!status.ok()) {
    throw StoreException(ErrorCode::kInvalidValue, "malformed reply: " + status.ToString());
  }
  return table;
}

std::shared_ptr<arrow::Table> read_pages(ServerConnection& connection) {
  std::vector<std::shared_ptr<arrow::Table>> pages;
  std::uint64_t read = 0;
  for (std::uint64_t rows = 1; read < rows;) {
    ListModelsReply reply = connection.ask(ListModelsRequest{read});
    rows = reply.rows;
    pages.push_back(table_of(std::move(reply.table)));
    const auto more = static_cast<std::uint64_t>(pages.back()->num_rows());
    if (more == 0 && read < rows) {
      throw StoreException(ErrorCode::kInvalidValue, "malformed reply: a page without rows");
    }
    read += more;
  }
  // The server keeps a table of several pages until somebody asks for what is behind it.
  if (pages.size() > 1) connection.ask(ListModelsRequest{read});
  return check(arrow::ConcatenateTables(pages));
}

}  // namespace

std::shared_ptr<arrow::Table> RemoteStore::models() {
  require_open();
  // A server keeps one table for a client.
  const std::lock_guard guard(listing_mutex_);
  std::vector<std::shared_ptr<arrow::Table>> tables(connections().size());
  parts_->fanout->run(tables.size(),
                      [&](std::size_t i) { tables[i] = read_pages(*connections()[i]); });
  return check(arrow::ConcatenateTables(tables));
}

std::map<std::string, std::uint64_t> RemoteStore::stats() {
  require_open();
  std::map<std::string, std::uint64_t> sums;
  for (const StatsReply& reply : ask_all(StatsRequest{})) {
    for (std::size_t i = 0; i < reply.names.size() && i < reply.values.size(); ++i) {
      sums[reply.names[i]] += reply.values[i];
    }
  }
  return sums;
}

VerifyReport RemoteStore::verify() {
  require_open();
  VerifyReport report;
  const auto replies = ask_all(VerifyRequest{});
  for (std::size_t i = 0; i < replies.size(); ++i) {
    report.models += replies[i].models;
    report.tensors += replies[i].tensors;
    report.bytes += replies[i].bytes;
    for (const std::string& problem : replies[i].problems) {
      report.problems.push_back(is_alone() ? problem
                                           : connections()[i]->address() + ": " + problem);
    }
  }
  if (is_alone()) return report;
  for (std::string& problem : wrong_references()) report.problems.push_back(std::move(problem));
  return report;
}

}  // namespace parsl_tl
