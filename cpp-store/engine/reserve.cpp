#include "reserve.hpp"

#include <fcntl.h>

#include "errors.hpp"

namespace parsl_tl {

Reserve::Reserve(const std::string& path) : file_(path, O_RDWR | O_CREAT) { restore(); }

bool Reserve::restore() {
  const std::lock_guard guard(mutex_);
  const std::uint64_t before = file_.size();
  if (before == kBytes) return true;
  if (file_.allocate(kBytes)) return true;
  file_.truncate(before);  // it may have got as far as the disk went
  return false;
}

bool Reserve::release(std::uint64_t bytes) {
  const std::lock_guard guard(mutex_);
  const std::uint64_t before = file_.size();
  if (before == 0) return false;
  file_.truncate(before > bytes ? before - bytes : 0);
  return true;
}

}  // namespace parsl_tl
