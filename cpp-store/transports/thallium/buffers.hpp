// Registered buffers that are used again and again: registering memory takes longer than moving a
// few bytes.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "completion.hpp"
#include "memory_format.hpp"

namespace parsl_tl::mochi {

class BufferPool;

/// Memory of kPartBytes.
struct Buffer {
  std::unique_ptr<std::uint8_t[]> memory;
  Bulk bulk;
  RemotePiece piece;
};

/// A buffer, for as long as this object lives.
class Lease {
 public:
  Lease(std::shared_ptr<BufferPool> pool, Buffer& buffer)
      : pool_(std::move(pool)), buffer_(buffer) {}
  ~Lease();
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  std::uint8_t* data() const { return buffer_.memory.get(); }
  const Bulk& bulk() const { return buffer_.bulk; }
  const RemotePiece& piece() const { return buffer_.piece; }
  /// Nobody may use the buffer again: another process may write into it at any time.
  void condemn() { is_condemned_ = true; }

 private:
  const std::shared_ptr<BufferPool> pool_;
  Buffer& buffer_;
  std::atomic<bool> is_condemned_ = false;
};

/// At most `most` buffers, made when they are first needed. Thread-safe.
class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  BufferPool(margo_instance_id margo, const MemoryFormat& format, std::size_t most);

  /// Null if all are taken.
  std::shared_ptr<Lease> try_take();
  /// One of the last ones, too: waits for it, and gives null at the deadline.
  std::shared_ptr<Lease> take(TimePoint deadline);
  /// Deregisters all of them. Nobody has or takes any.
  void clear();

 private:
  friend class Lease;

  Buffer& make_locked();
  void give_back(Buffer& buffer, bool is_condemned);

  const margo_instance_id margo_;
  const MemoryFormat& format_;
  const std::size_t most_;

  std::mutex mutex_;  // guards the rest
  std::condition_variable given_back_;
  std::vector<std::unique_ptr<Buffer>> buffers_;  // condemned ones, too
  std::vector<Buffer*> free_;                     // the one that was used last at the end
  std::size_t taken_ = 0;
};

}  // namespace parsl_tl::mochi
