// The file of a Unix socket: made so that only its owner, or its group, can ever connect, and taken
// away again.
#pragma once

#include <sys/types.h>

#include <string>

namespace parsl_tl {

/// A socket file is bound in a folder of its own that nobody else can enter, and gets its name
/// when its mode is right. The process's umask, which other threads depend on, stays as it is.
class UnixSocketFile {
 public:
  /// Throws kIo if a server answers at this path, or something else lies there.
  UnixSocketFile(std::string path, bool shared);
  ~UnixSocketFile();
  UnixSocketFile(const UnixSocketFile&) = delete;
  UnixSocketFile& operator=(const UnixSocketFile&) = delete;

  /// Where to bind.
  std::string hidden_path() const { return folder_ + "/s"; }
  /// Gives the bound socket its name; the file of a server that is gone is replaced.
  void publish();

 private:
  void remove_folder() noexcept;

  std::string path_;
  ::mode_t mode_;
  std::string folder_;
  ::dev_t device_ = 0;
  ::ino_t inode_ = 0;
  bool published_ = false;
};

}  // namespace parsl_tl
