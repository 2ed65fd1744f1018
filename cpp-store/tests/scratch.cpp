#include "scratch.hpp"

#include <fcntl.h>
#include <stdlib.h>

#include <filesystem>

#include "errors.hpp"
#include "file.hpp"

namespace parsl_tl::testing {
namespace fs = std::filesystem;

Scratch::Scratch(const std::string& parent) : path_(parent) {
  if (path_.empty()) path_ = fs::is_directory("/dev/shm") ? "/dev/shm" : "/tmp";
  path_ += "/parsl-tl-XXXXXX";
  if (::mkdtemp(path_.data()) == nullptr) throw_errno(errno, "cannot make", path_);
}

Scratch::~Scratch() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

Bytes read_file(const std::string& path) {
  const File file(path, O_RDONLY);
  Bytes bytes(file.size());
  file.read_at(0, bytes.data(), bytes.size());
  return bytes;
}

void write_file(const std::string& path, const Bytes& bytes) {
  File file(path, O_WRONLY | O_CREAT | O_TRUNC);
  file.write_at(0, bytes.data(), bytes.size());
}

}  // namespace parsl_tl::testing
