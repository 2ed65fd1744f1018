// Whether two processes see the same file: on one machine, and in the same mount.
#pragma once

#include <cstdint>
#include <string>

namespace parsl_tl {

/// Drawn by the kernel at every start; empty if it cannot be read.
std::string boot_id();

struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  bool operator==(const FileIdentity&) const = default;
};
/// Zeros for a path that is not there.
FileIdentity identity_of(const std::string& path);

}  // namespace parsl_tl
