// Files with owners: descriptors and mappings that close themselves, whole reads and writes, locks.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace parsl_tl {

/// An open file descriptor; closed when it goes out of scope. Move-only.
class File {
 public:
  File() = default;
  /// A file that is made is its owner's alone, or its group's in a folder of a shared store.
  File(const std::string& path, int flags);
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int fd() const noexcept { return fd_; }
  bool is_open() const noexcept { return fd_ >= 0; }
  const std::string& path() const noexcept { return path_; }
  std::uint64_t size() const;
  /// Which file this is, whatever its name: device and inode.
  using Identity = std::pair<std::uint64_t, std::uint64_t>;
  Identity identity() const;
  /// Which file has the name; nothing if there is none.
  static std::optional<Identity> identity_at(const std::string& path);
  void close() noexcept;

  /// Reads exactly `size` bytes, or fewer only at the end of the file. Returns bytes read.
  std::size_t read_at(std::uint64_t offset, void* out, std::size_t size) const;
  void write_at(std::uint64_t offset, const void* data, std::size_t size);
  /// Appends all buffers at the file's position. They are consumed.
  void write_all(std::span<iovec> buffers);
  bool is_on_ext4() const noexcept;
  /// Has the file system set space aside for bytes to come, if it can. The file stays as long as it
  /// is; should there be no space, writing says so.
  void reserve(std::uint64_t offset, std::uint64_t size) noexcept;
  void truncate(std::uint64_t size);
  void sync_data();
  /// Sets the file's size, and has the file system set aside all of it. False if there is no space.
  bool allocate(std::uint64_t size);
  /// Takes over another file's mode and, where that is allowed, owner.
  void copy_access(const File& other) const;
  /// True when the advisory lock (flock, exclusive) was free and is now held by this descriptor.
  bool try_lock();

 private:
  void share_with_group() const;

  int fd_ = -1;
  std::string path_;
};

/// An advisory lock on a file, held while the object lives; between processes and threads alike,
/// because every lock opens the file anew. The kernel drops it when the process dies.
class FileLock {
 public:
  FileLock(const std::string& path, bool exclusive);
  ~FileLock();
  FileLock(FileLock&&) noexcept = default;
  FileLock& operator=(FileLock&&) = delete;
  /// The lock, or nothing when somebody else holds it.
  static std::optional<FileLock> try_lock(const std::string& path, bool exclusive);

 private:
  explicit FileLock(File file) : file_(std::move(file)) {}

  File file_;
};

/// A whole file, mapped read-only. Stays valid after the file is unlinked.
class Mapping {
 public:
  explicit Mapping(const File& file);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  const std::uint8_t* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }

 private:
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

void sync_folder(const std::string& path);

/// A name in `folder` that nobody else has, whatever machine or container they run in.
std::string unique_path(const std::string& folder, const std::string& prefix);

/// A new file for writing under a name that nobody else has; locked, which tells a clean-up
/// that its writer is alive.
File create_temporary(const std::string& folder, const std::string& prefix);

}  // namespace parsl_tl
