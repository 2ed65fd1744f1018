#include "exchange.hpp"

#include <algorithm>
#include <string>

#include "errors.hpp"

namespace parsl_tl::mochi {
namespace {

using namespace std::chrono_literals;

// Waits shorter than this are not worth a change of workers.
constexpr auto kShortWait = 5ms;
// A client that takes longer for a part is gone, whatever its deadline.
constexpr auto kMostStall = 30s;

}  // namespace

void Bounds::require_time() const {
  if (Clock::now() < deadline && !instance().is_ending()) return;
  throw StoreException(ErrorCode::kUnreachable, "the client has given up by now");
}

std::shared_ptr<const void> Bounds::guard() const {
  require_time();
  if (!memory->begin()) {
    throw StoreException(ErrorCode::kUnreachable, "the client has given up");
  }
  return {nullptr, [guarded = memory](const void*) { guarded->end(); }};
}

void Bounds::wait(Transfers& transfers, std::uint64_t most_bytes) const {
  if (!transfers.is_settled_by(std::min(Clock::now() + kShortWait, deadline), most_bytes)) {
    const Workers::Aside aside(*workers);
    const TimePoint end = std::min(Clock::now() + kMostStall, deadline);
    while (!transfers.is_settled_by(std::min(Clock::now() + 100ms, end), most_bytes)) {
      if (Clock::now() >= end || instance().is_ending()) break;
    }
  }
  if (transfers.wait_until(Clock::now(), most_bytes)) return;
  throw StoreException(ErrorCode::kUnreachable, "the client is gone: its bulk data did not move");
}

std::span<const std::uint8_t> ThalliumExchange::take() {
  if (!arguments_.upload_memory.empty()) return upload_.next();
  if (is_upload_taken_) return {};
  is_upload_taken_ = true;
  return arguments_.upload;
}

void ThalliumExchange::send(const ConstPieces& pieces, std::shared_ptr<const void> owner) {
  if (is_sent_) throw StoreException(ErrorCode::kInvalidValue, "the download was sent before");
  const std::uint64_t size = size_of(pieces);
  const std::uint64_t expected = arguments_.header.download_size;
  if (size != expected) {
    throw StoreException(
        ErrorCode::kInvalidValue,
        "the client expects " + std::to_string(expected) + " bytes, not " + std::to_string(size));
  }
  is_sent_ = true;
  if (!arguments_.download_memory.empty()) {
    push(bounds_, pieces, std::move(owner), arguments_.download_memory);
    sent_ = size;
    return;
  }
  download_.reserve(size);
  for (const auto& piece : pieces) download_.insert(download_.end(), piece.begin(), piece.end());
}

}  // namespace parsl_tl::mochi
