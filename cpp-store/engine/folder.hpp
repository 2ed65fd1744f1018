// The folder of a store: its layout, how it comes to be, and what is swept away at opening.
//
//   FORMAT        "parsl_tl model store\nformat 1\n", written last: without it there is no store
//   lock          the advisory lock of writers
//   log           see log.hpp
//   segments/     <model id>.seg, see segment.hpp; tmp-* while a writer is at work
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace parsl_tl {

constexpr int kFormatVersion = 1;

class Folder {
 public:
  /// Opens the folder, making it if it is missing or empty and `writable`.
  ///
  /// Throws kFormat for a folder that holds something else or a newer format, kPermission if it
  /// cannot be used, kIo on a network file system (locks and mappings are not coherent there).
  Folder(const std::string& path, bool writable);

  const std::string& path() const noexcept { return path_; }
  std::string lock_path() const { return path_ + "/lock"; }
  std::string log_path() const { return path_ + "/log"; }
  std::string segments_path() const { return path_ + "/segments"; }
  std::string segment_path(std::uint64_t owner) const;

  /// Removes what dead writers left: temporary files whose lock is free, and segments that
  /// `is_known` denies. With the exclusive lock held and the log read to its end.
  void sweep(const std::function<bool(std::uint64_t)>& is_known) const;

 private:
  void prepare(bool writable) const;
  void create() const;
  void check_format() const;

  std::string path_;
};

}  // namespace parsl_tl
