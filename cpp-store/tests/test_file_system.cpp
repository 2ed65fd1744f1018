// Network file systems are known by the numbers that statfs gives.
#include "check.hpp"
#include "file_system.hpp"
#include "scratch.hpp"

namespace parsl_tl::testing {
namespace {

CASE(network_file_systems_are_known) {
  for (const std::uint32_t magic :
       {0x6969U, 0x65735546U, 0x01021997U, 0x0BD00BD0U, 0x47504653U, 0x19830326U, 0xFF534D42U,
        0xFE534D42U, 0x517BU, 0x00C36400U, 0x5346414FU, 0x20030528U, 0xAAD7AAEAU}) {
    CHECK(network_file_system(magic) != nullptr);
  }
  // ext4, XFS, tmpfs, btrfs, overlayfs
  for (const std::uint32_t magic : {0xEF53U, 0x58465342U, 0x01021994U, 0x9123683EU, 0x794C7630U}) {
    CHECK(network_file_system(magic) == nullptr);
  }
  const Scratch scratch;
  CHECK(network_file_system_at(scratch / ".") == nullptr);
}

}  // namespace
}  // namespace parsl_tl::testing
