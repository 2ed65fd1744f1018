#include "file_system.hpp"

#include <sys/vfs.h>

#include <algorithm>
#include <iterator>

namespace parsl_tl {
namespace {

struct Known {
  std::uint32_t magic;
  const char* name;
};

// From linux/magic.h where it has them, else from the file system's own sources. FUSE may hold
// anything, sshfs, s3fs and GlusterFS for example, and does not tell what.
constexpr Known kNetwork[] = {
    {0x00006969, "NFS"},
    {0x0BD00BD0, "Lustre"},
    {0x47504653, "GPFS (Spectrum Scale)"},
    {0x00C36400, "Ceph"},
    {0x19830326, "BeeGFS"},
    {0x5346414F, "AFS"},
    {0x6B414653, "kAFS"},
    {0x0000517B, "SMB"},
    {0xFF534D42, "CIFS"},
    {0xFE534D42, "SMB"},
    {0x65735546, "FUSE"},
    {0x01021997, "9p"},
    {0x20030528, "OrangeFS"},
    {0xAAD7AAEA, "PanFS"},
    {0x01161970, "GFS2"},
    {0x7461636F, "OCFS2"},
    {0x73757245, "Coda"},
    {0x0000564C, "NCP"},
    {0x61636673, "ACFS"},
    {0x786F4256, "VirtualBox's shared folders"},
    {0xBACBACBC, "VMware's shared folders"},
    {0x013111A8, "IBRIX"},
    {0x7C7C6673, "Parallels' shared folders"},
    {0xBEEFDEAD, "SNFS (StorNext)"},
};

}  // namespace

const char* network_file_system(std::uint32_t magic) {
  const auto* found = std::find_if(std::begin(kNetwork), std::end(kNetwork),
                                   [magic](const Known& known) { return known.magic == magic; });
  return found == std::end(kNetwork) ? nullptr : found->name;
}

const char* network_file_system_at(const std::string& path) {
  struct statfs info{};
  if (::statfs(path.c_str(), &info) != 0) return nullptr;
  return network_file_system(static_cast<std::uint32_t>(info.f_type));
}

}  // namespace parsl_tl
