#include "file.hpp"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <random>
#include <utility>

#include "access.hpp"
#include "errors.hpp"

namespace parsl_tl {

void throw_errno(int error, const std::string& action, const std::string& path) {
  const std::string text = action + " " + path + ": " + std::strerror(error);
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      throw StoreException(ErrorCode::kFull,
                           text + "; nothing was stored. Free space there or retire models");
    case EACCES:
    case EPERM:
    case EROFS:
      throw StoreException(ErrorCode::kPermission,
                           text + "; check owner and mode, or open the store with read_only=True");
    case ENOENT:
      throw StoreException(ErrorCode::kNotFound, text);
    default:
      throw StoreException(ErrorCode::kIo, text);
  }
}

std::string hex_id(std::uint64_t id) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text(16, '0');
  for (int i = 15; i >= 0; --i, id >>= 4) text[i] = kDigits[id & 15];
  return text;
}

File::File(const std::string& path, int flags) : path_(path) {
  fd_ = ::open(path.c_str(), flags | O_CLOEXEC, kOwnersFile);
  if (fd_ < 0) throw_errno(errno, "cannot open", path);
  if ((flags & O_CREAT) != 0 && is_shared_folder(parent_of(path))) share_with_group();
}

/// Whatever the umask says: that is what sharing a store means.
void File::share_with_group() const {
  struct stat info{};
  if (::fstat(fd_, &info) != 0) throw_errno(errno, "cannot stat", path_);
  const bool is_mine = info.st_uid == ::geteuid();
  if (!is_mine || (info.st_mode & kGroupsFile) == kGroupsFile) return;
  if (::fchmod(fd_, kGroupsFile) != 0) throw_errno(errno, "cannot set the mode of", path_);
}

File::~File() { close(); }

File::File(File&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
    path_ = std::move(other.path_);
  }
  return *this;
}

void File::close() noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

std::uint64_t File::size() const {
  struct stat info{};
  if (::fstat(fd_, &info) != 0) throw_errno(errno, "cannot stat", path_);
  return static_cast<std::uint64_t>(info.st_size);
}

File::Identity File::identity() const {
  struct stat info{};
  if (::fstat(fd_, &info) != 0) throw_errno(errno, "cannot stat", path_);
  return {info.st_dev, info.st_ino};
}

std::optional<File::Identity> File::identity_at(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return std::nullopt;
  return Identity{info.st_dev, info.st_ino};
}

std::size_t File::read_at(std::uint64_t offset, void* out, std::size_t size) const {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got = ::pread(fd_, static_cast<char*>(out) + done, size - done,
                                static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_errno(errno, "cannot read", path_);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

void File::write_at(std::uint64_t offset, const void* data, std::size_t size) {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t put = ::pwrite(fd_, static_cast<const char*>(data) + done, size - done,
                                 static_cast<off_t>(offset + done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw_errno(errno, "cannot write", path_);
    done += static_cast<std::size_t>(put);
  }
}

void File::write_all(std::span<iovec> buffers) {
  std::size_t first = 0;
  while (first < buffers.size()) {
    if (buffers[first].iov_len == 0) {
      ++first;
      continue;
    }
    const auto count = static_cast<int>(std::min<std::size_t>(buffers.size() - first, IOV_MAX));
    ssize_t put = ::writev(fd_, buffers.data() + first, count);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw_errno(errno, "cannot write", path_);
    auto left = static_cast<std::size_t>(put);
    while (left > 0) {
      iovec& buffer = buffers[first];
      const std::size_t step = std::min(left, buffer.iov_len);
      buffer.iov_base = static_cast<char*>(buffer.iov_base) + step;
      buffer.iov_len -= step;
      left -= step;
      if (buffer.iov_len == 0) ++first;
    }
  }
}

bool File::is_on_ext4() const noexcept {
  struct statfs system{};
  return ::fstatfs(fd_, &system) == 0 && system.f_type == EXT4_SUPER_MAGIC;
}

void File::reserve(std::uint64_t offset, std::uint64_t size) noexcept {
  ::fallocate(fd_, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset), static_cast<off_t>(size));
}

void File::truncate(std::uint64_t size) {
  if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) throw_errno(errno, "cannot truncate", path_);
}

bool File::allocate(std::uint64_t size) {
  if (size < this->size()) {
    truncate(size);
    return true;
  }
  // Where the file system cannot do it by itself, this writes to every block.
  const int error = ::posix_fallocate(fd_, 0, static_cast<off_t>(size));
  if (error == 0) return true;
  if (error == ENOSPC || error == EDQUOT) return false;
  throw_errno(error, "cannot set space aside in", path_);
}

void File::sync_data() {
  if (::fdatasync(fd_) != 0) throw_errno(errno, "cannot sync", path_);
}

void File::copy_access(const File& other) const {
  struct stat info{};
  if (::fstat(other.fd_, &info) != 0) throw_errno(errno, "cannot stat", other.path_);
  if (::fchmod(fd_, info.st_mode & 07777) != 0) throw_errno(errno, "cannot set the mode of", path_);
  // Only root may give files away; anybody else's are his own already, or stay his.
  if (::geteuid() == 0 && ::fchown(fd_, info.st_uid, info.st_gid) != 0) {
    throw_errno(errno, "cannot set the owner of", path_);
  }
}

bool File::try_lock() {
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return true;
  if (errno == EWOULDBLOCK) return false;
  throw_errno(errno, "cannot lock", path_);
}

FileLock::FileLock(const std::string& path, bool exclusive) : file_(path, O_RDONLY) {
  while (::flock(file_.fd(), exclusive ? LOCK_EX : LOCK_SH) != 0) {
    if (errno != EINTR) throw_errno(errno, "cannot lock", path);
  }
}

FileLock::~FileLock() {
  // Closing is not enough: a child that was forked meanwhile has the descriptor too.
  if (file_.is_open()) ::flock(file_.fd(), LOCK_UN);
}

std::optional<FileLock> FileLock::try_lock(const std::string& path, bool exclusive) {
  File file(path, O_RDONLY);
  while (::flock(file.fd(), (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return std::nullopt;
    if (errno != EINTR) throw_errno(errno, "cannot lock", path);
  }
  return FileLock(std::move(file));
}

std::string unique_path(const std::string& folder, const std::string& prefix) {
  static const std::uint64_t process = [] {
    std::random_device source;
    return (static_cast<std::uint64_t>(source()) << 32) | source();
  }();
  static std::atomic<std::uint64_t> counter{0};
  return folder + "/tmp-" + prefix + "-" + hex_id(process + counter.fetch_add(1));
}

File create_temporary(const std::string& folder, const std::string& prefix) {
  for (;;) {
    const std::string path = unique_path(folder, prefix);
    File file(path, O_WRONLY | O_CREAT | O_EXCL);
    // A clean-up may have found it between the two.
    if (file.try_lock() && ::access(path.c_str(), F_OK) == 0) return file;
  }
}

Mapping::Mapping(const File& file) : size_(file.size()) {
  if (size_ == 0) return;
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.fd(), 0);
  if (address == MAP_FAILED) throw_errno(errno, "cannot map", file.path());
  data_ = static_cast<const std::uint8_t*>(address);
}

Mapping::~Mapping() {
  if (data_ != nullptr) ::munmap(const_cast<std::uint8_t*>(data_), size_);
}

void sync_folder(const std::string& path) {
  File folder(path, O_RDONLY | O_DIRECTORY);
  if (::fsync(folder.fd()) != 0) throw_errno(errno, "cannot sync", path);
}

}  // namespace parsl_tl
