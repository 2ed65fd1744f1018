#include "unix_socket.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "errors.hpp"
#include "file.hpp"

namespace parsl_tl {
namespace {

constexpr std::size_t kMostPathBytes = sizeof(sockaddr_un::sun_path) - 1;

sockaddr_un socket_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

/// Whether a process listens there: the kernel refuses connections to a file whose socket is gone.
bool is_alive(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) throw_errno(errno, "cannot look for a server at", path);
  const sockaddr_un address = socket_address(path);
  const int result = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  ::close(fd);
  return result == 0 || error != ECONNREFUSED;
}

void check_is_replaceable(const std::string& path) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return;
    throw_errno(errno, "cannot look at", path);
  }
  if (!S_ISSOCK(info.st_mode)) {
    throw StoreException(ErrorCode::kIo, path + " is no socket; give the server a path of its own");
  }
  if (is_alive(path)) {
    throw StoreException(ErrorCode::kIo, "another server listens at " + path +
                                             "; stop it, or give this one another path");
  }
}

}  // namespace

UnixSocketFile::UnixSocketFile(std::string path, bool shared)
    : path_(std::move(path)), mode_(shared ? 0660 : 0600) {
  folder_ = path_ + ".XXXXXX";
  if (hidden_path().size() > kMostPathBytes) {
    throw StoreException(
        ErrorCode::kInvalidValue,
        "the path of the socket " + path_ + " is too long; it may have " +
            std::to_string(kMostPathBytes - (hidden_path().size() - path_.size())) + " bytes");
  }
  check_is_replaceable(path_);
  if (!::mkdtemp(folder_.data())) throw_errno(errno, "cannot make a socket at", path_);
}

UnixSocketFile::~UnixSocketFile() {
  struct stat info{};
  // Somebody may have put another file there in the meantime.
  if (published_ && ::lstat(path_.c_str(), &info) == 0 && info.st_dev == device_ &&
      info.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
  remove_folder();
}

void UnixSocketFile::remove_folder() noexcept {
  if (folder_.empty()) return;
  ::unlink(hidden_path().c_str());
  ::rmdir(folder_.c_str());
  folder_.clear();
}

void UnixSocketFile::publish() {
  const std::string hidden = hidden_path();
  struct stat info{};
  if (::chmod(hidden.c_str(), mode_) != 0 || ::lstat(hidden.c_str(), &info) != 0) {
    throw_errno(errno, "cannot set the mode of the socket at", path_);
  }
  if ((info.st_mode & 07777) != mode_) {
    throw StoreException(ErrorCode::kPermission,
                         "the file system does not keep others away from a socket at " + path_);
  }
  // A link replaces nothing: of two servers that start at once, one gets the name.
  for (int attempt = 0; ::link(hidden.c_str(), path_.c_str()) != 0; ++attempt) {
    if (errno != EEXIST || attempt > 0) throw_errno(errno, "cannot make a socket at", path_);
    check_is_replaceable(path_);
    ::unlink(path_.c_str());
  }
  device_ = info.st_dev;
  inode_ = info.st_ino;
  published_ = true;
  remove_folder();
}

}  // namespace parsl_tl
