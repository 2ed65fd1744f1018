// The server's side of a call, one class for each kind: without bulk data, with an upload, with a
// download.
#pragma once

#include <arrow/flight/server.h>

#include "call_limit.hpp"
#include "transport.hpp"

namespace parsl_tl {

/// A call without bulk data, and what the others build on.
class PlainExchange : public Exchange {
 public:
  explicit PlainExchange(const arrow::flight::ServerCallContext& context,
                         std::uint64_t expected_bytes = 0)
      : context_(context), expected_(expected_bytes) {}

  std::span<const std::uint8_t> take() override { return {}; }
  /// Only keeps them: they travel behind the reply.
  void send(const ConstPieces& pieces, std::shared_ptr<const void> owner) override;

  ConstPieces& pieces() noexcept { return pieces_; }
  std::shared_ptr<const void>& owner() noexcept { return owner_; }

 protected:
  [[noreturn]] void throw_client_gone(const std::string& what) const;

  const arrow::flight::ServerCallContext& context_;

 private:
  std::uint64_t expected_;
  bool sent_ = false;
  ConstPieces pieces_;
  std::shared_ptr<const void> owner_;
};

class UploadExchange final : public PlainExchange {
 public:
  UploadExchange(const arrow::flight::ServerCallContext& context,
                 arrow::flight::FlightMessageReader& reader, std::uint64_t size, CallSlot& slot)
      : PlainExchange(context), reader_(reader), size_(size), slot_(slot) {}

  std::span<const std::uint8_t> take() override;
  bool is_taken() const noexcept { return taken_ == size_; }
  /// Reads what was not taken, and makes sure that nothing comes behind it.
  arrow::Status finish();

 private:
  arrow::Result<std::shared_ptr<arrow::Buffer>> read();

  arrow::flight::FlightMessageReader& reader_;
  std::uint64_t size_;
  std::uint64_t taken_ = 0;
  CallSlot& slot_;
  std::shared_ptr<arrow::Buffer> part_;
};

}  // namespace parsl_tl
