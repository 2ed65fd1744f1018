#include "errors.hpp"
#include "exchange.hpp"

namespace parsl_tl::mochi {
namespace {

// Under way beside the part that is looked at.
constexpr std::size_t kAhead = 2;
// A part that is made of very many pieces ends early: each is a transfer of its own.
constexpr std::size_t kMostPiecesOfPart = 256;

}  // namespace

Bytes Puller::next() {
  current_ = Part();  // its buffer can be used again
  if (parts_.empty()) {
    if (is_at_end()) return {};
    begin_part(wait_for_buffer());
  }
  read_ahead();
  bounds_.wait(*parts_.front().transfers);
  current_ = std::move(parts_.front());
  parts_.pop_front();
  read_ahead();
  return {current_.lease->data(), current_.size};
}

std::shared_ptr<Lease> Puller::wait_for_buffer() const {
  BufferPool& buffers = bounds_.instance().buffers();
  if (auto lease = buffers.try_take()) return lease;
  const Workers::Aside aside(*bounds_.workers);
  if (auto lease = buffers.take(bounds_.deadline)) return lease;
  throw StoreException(ErrorCode::kUnreachable,
                       "no buffer became free for the client's data in time");
}

void Puller::begin_part(const std::shared_ptr<Lease>& lease) {
  Part part{std::make_shared<Transfers>(bounds_.client), lease, 0};
  part.transfers->keep(lease);
  for (std::size_t i = 0; i < kMostPiecesOfPart && part.size < kPartBytes && !is_at_end(); ++i) {
    const RemotePiece& piece = memory_[piece_];
    const std::uint64_t size = std::min(piece.size - offset_, kPartBytes - part.size);
    const Bulk there = bounds_.instance().to_read().adopt(piece);
    part.transfers->start(HG_BULK_PULL, {there, piece.offset + offset_}, {lease->bulk(), part.size},
                          size, bounds_.guard());
    part.size += size;
    offset_ += size;
    if (offset_ == piece.size) {
      ++piece_;
      offset_ = 0;
    }
  }
  parts_.push_back(std::move(part));
}

void Puller::read_ahead() {
  while (parts_.size() < kAhead && !is_at_end()) {
    const auto lease = bounds_.instance().buffers().try_take();
    if (!lease) return;
    begin_part(lease);
  }
}

std::vector<std::uint8_t> pull(const Bounds& bounds, const std::vector<RemotePiece>& memory) {
  std::uint64_t size = 0;
  for (const RemotePiece& piece : memory) size += piece.size;
  std::vector<std::uint8_t> pulled;
  pulled.reserve(size);
  Puller puller(bounds, memory);
  for (Bytes part = puller.next(); !part.empty(); part = puller.next()) {
    pulled.insert(pulled.end(), part.begin(), part.end());
  }
  return pulled;
}

void Puller::finish() noexcept {
  current_ = Part();
  for (const Part& part : parts_) {
    try {
      bounds_.wait(*part.transfers);
    } catch (const StoreException&) {
      // The client is gone, and with it the reason to wait.
    }
  }
  parts_.clear();
}

}  // namespace parsl_tl::mochi
