#include "buffers.hpp"

#include "transport.hpp"

namespace parsl_tl::mochi {

Lease::~Lease() { pool_->give_back(buffer_, is_condemned_); }

BufferPool::BufferPool(margo_instance_id margo, const MemoryFormat& format, std::size_t most)
    : margo_(margo), format_(format), most_(most) {}

std::shared_ptr<Lease> BufferPool::try_take() {
  const std::lock_guard guard(mutex_);
  if (taken_ == most_) return nullptr;
  Buffer& buffer = free_.empty() ? make_locked() : *free_.back();
  auto lease = std::make_shared<Lease>(shared_from_this(), buffer);
  if (!free_.empty()) free_.pop_back();
  ++taken_;
  return lease;
}

std::shared_ptr<Lease> BufferPool::take(TimePoint deadline) {
  for (;;) {
    if (auto lease = try_take()) return lease;
    std::unique_lock lock(mutex_);
    if (!given_back_.wait_until(lock, deadline, [&] { return taken_ < most_; })) return nullptr;
  }
}

void BufferPool::clear() {
  const std::lock_guard guard(mutex_);
  free_.clear();
  buffers_.clear();
}

Buffer& BufferPool::make_locked() {
  auto buffer = std::make_unique<Buffer>();
  buffer->memory = std::make_unique_for_overwrite<std::uint8_t[]>(kPartBytes);
  buffer->bulk = register_memory(margo_, buffer->memory.get(), kPartBytes, HG_BULK_READWRITE);
  buffer->piece = format_.describe(buffer->bulk);
  return *buffers_.emplace_back(std::move(buffer));
}

void BufferPool::give_back(Buffer& buffer, bool is_condemned) {
  const std::lock_guard guard(mutex_);
  --taken_;
  // Without its key nobody can start to write into a condemned one; its memory is kept, for what
  // was on its way before.
  if (is_condemned) {
    buffer.bulk = Bulk();
  } else {
    free_.push_back(&buffer);
  }
  given_back_.notify_one();
}

}  // namespace parsl_tl::mochi
