// Space kept back: on a disk that is full, retiring a model is what makes room, and needs some
// itself.
//
// A file of the store holds nothing but its blocks. Records that free space (retirements, and what
// compaction writes) take from it when the disk is full; no model is stored as long as it is not
// whole again, so that it is never used up by what fills the disk.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "file.hpp"

namespace parsl_tl {

class Reserve {
 public:
  /// Makes the file if it is not there. Without space there is none until `restore` finds some.
  explicit Reserve(const std::string& path);

  /// Whether it is whole, or could be made so: the disk has space again. Costs one fstat.
  bool restore();
  /// Gives up some of it. False if there is none left.
  bool release(std::uint64_t bytes);
  bool release_all() { return release(kBytes); }

  static constexpr std::uint64_t kBytes = 256 << 10;

 private:
  std::mutex mutex_;
  File file_;
};

}  // namespace parsl_tl
