// Owners of what Mercury hands out. None of them looks at the result of a release: nobody could do
// anything about it, and Thallium's own owners end the process then.
#pragma once

#include <margo.h>

#include <utility>

namespace parsl_tl::mochi {

/// Memory that is registered, or somebody else's registered memory.
class Bulk {
 public:
  Bulk() = default;
  explicit Bulk(hg_bulk_t bulk) : bulk_(bulk) {}
  Bulk(Bulk&& other) noexcept : bulk_(std::exchange(other.bulk_, HG_BULK_NULL)) {}
  Bulk& operator=(Bulk&& other) noexcept {
    std::swap(bulk_, other.bulk_);
    return *this;
  }
  ~Bulk() {
    if (bulk_ != HG_BULK_NULL) margo_bulk_free(bulk_);
  }
  hg_bulk_t get() const { return bulk_; }

 private:
  hg_bulk_t bulk_ = HG_BULK_NULL;
};

/// A call that is made or answered.
class Handle {
 public:
  explicit Handle(hg_handle_t handle) : handle_(handle) {}
  Handle(Handle&& other) noexcept : handle_(std::exchange(other.handle_, HG_HANDLE_NULL)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Handle() {
    if (handle_ != HG_HANDLE_NULL) margo_destroy(handle_);
  }
  hg_handle_t get() const { return handle_; }

 private:
  hg_handle_t handle_;
};

}  // namespace parsl_tl::mochi
