#include <algorithm>

#include "errors.hpp"
#include "exchange.hpp"
#include "registered_memory.hpp"

namespace parsl_tl::mochi {
namespace {

// One transfer, and what is under way at once.
constexpr std::uint64_t kPushBytes = 4 << 20;
constexpr std::uint64_t kWindowBytes = 16 << 20;

/// Both sides of a push are streams in pieces; a transfer goes from one piece to one.
class Pusher {
 public:
  Pusher(const Bounds& bounds, const std::vector<RemotePiece>& memory)
      : bounds_(bounds), memory_(memory), transfers_(std::make_shared<Transfers>(bounds.client)) {}

  void keep(std::shared_ptr<const void> owner) { transfers_->keep(std::move(owner)); }
  void add(std::span<const std::uint8_t> piece);
  /// Waits for the end of all.
  void finish();

 private:
  /// Puts a small piece behind others in a buffer. False if there is no buffer.
  bool stage(std::span<const std::uint8_t> piece);
  void push_staged();
  void push(const Bulk& from, std::uint64_t offset, std::uint64_t size);

  const Bounds& bounds_;
  const std::vector<RemotePiece>& memory_;
  const std::shared_ptr<Transfers> transfers_;
  std::size_t piece_ = 0;     // of the client's memory, to be written next,
  std::uint64_t offset_ = 0;  // from here on
  std::shared_ptr<Lease> staging_;
  std::uint64_t staged_ = 0;  // bytes in the buffer
  std::uint64_t pushed_ = 0;  // of these
};

void Pusher::add(std::span<const std::uint8_t> piece) {
  if (piece.size() <= kSmallPiece && stage(piece)) return;
  push_staged();
  push(register_memory(bounds_.instance().margo(), piece.data(), piece.size(), HG_BULK_READ_ONLY),
       0, piece.size());
}

bool Pusher::stage(std::span<const std::uint8_t> piece) {
  if (!staging_ || staged_ + piece.size() > kPartBytes) {
    push_staged();
    staging_ = bounds_.instance().buffers().try_take();
    if (!staging_) return false;
    transfers_->keep(staging_);
    staged_ = pushed_ = 0;
  }
  std::copy(piece.begin(), piece.end(), staging_->data() + staged_);
  staged_ += piece.size();
  return true;
}

void Pusher::push_staged() {
  if (staged_ > pushed_) push(staging_->bulk(), pushed_, staged_ - pushed_);
  pushed_ = staged_;
}

void Pusher::push(const Bulk& from, std::uint64_t offset, std::uint64_t size) {
  while (size > 0) {
    const RemotePiece& piece = memory_[piece_];
    const std::uint64_t part = std::min({size, piece.size - offset_, kPushBytes});
    bounds_.wait(*transfers_, kWindowBytes - part);
    const Bulk to = bounds_.instance().to_write().adopt(piece);
    transfers_->start(HG_BULK_PUSH, {to, piece.offset + offset_}, {from, offset}, part,
                      bounds_.guard());
    size -= part;
    offset += part;
    offset_ += part;
    if (offset_ == piece.size) {
      ++piece_;
      offset_ = 0;
    }
  }
}

void Pusher::finish() {
  push_staged();
  bounds_.wait(*transfers_);
}

}  // namespace

void push(const Bounds& bounds, const ConstPieces& pieces, std::shared_ptr<const void> owner,
          const std::vector<RemotePiece>& memory) {
  Pusher pusher(bounds, memory);
  pusher.keep(std::move(owner));
  for (const auto& piece : joined(pieces)) pusher.add(piece);
  pusher.finish();
}

}  // namespace parsl_tl::mochi
