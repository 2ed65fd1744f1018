#include "transfers.hpp"

namespace parsl_tl::mochi {

struct Transfers::One {
  std::shared_ptr<Transfers> all;
  std::uint64_t size;
  std::shared_ptr<const void> during;

  static hg_return_t end(const hg_cb_info* info) {
    const std::unique_ptr<One> one(static_cast<One*>(info->arg));
    one->all->note(one->size, info->ret);
    return HG_SUCCESS;
  }
};

void Transfers::start(hg_bulk_op_t direction, Side there, Side here, std::uint64_t size,
                      std::shared_ptr<const void> during) {
  {
    const std::lock_guard guard(mutex_);
    bytes_ += size;
  }
  auto one = std::make_unique<One>(One{shared_from_this(), size, std::move(during)});
  hg_op_id_t ignored = HG_OP_ID_NULL;
  const hg_return_t result = HG_Bulk_transfer(
      margo_get_context(use_->margo()), &One::end, one.get(), direction, peer_->address(),
      there.bulk.get(), there.offset, here.bulk.get(), here.offset, size, &ignored);
  if (result == HG_SUCCESS) {
    static_cast<void>(one.release());  // the callback has it, and may have deleted it
  } else {
    note(size, result);
  }
}

void Transfers::note(std::uint64_t bytes, hg_return_t result) {
  const std::lock_guard guard(mutex_);
  bytes_ -= bytes;
  has_failed_ = has_failed_ || result != HG_SUCCESS;
  ended_.notify_all();
}

bool Transfers::is_settled_by(TimePoint moment, std::uint64_t most_bytes) {
  std::unique_lock lock(mutex_);
  return ended_.wait_until(lock, moment, [&] { return has_failed_ || bytes_ <= most_bytes; });
}

bool Transfers::wait_until(TimePoint deadline, std::uint64_t most_bytes) {
  if (!is_settled_by(deadline, most_bytes)) return false;
  const std::lock_guard guard(mutex_);
  return !has_failed_;
}

}  // namespace parsl_tl::mochi
