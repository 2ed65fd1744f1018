// Temporary folders and whole files, for tests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace parsl_tl::testing {

/// A folder of its own, removed with this object.
class Scratch {
 public:
  /// In memory where there is /dev/shm, unless it is to be somewhere else.
  explicit Scratch(const std::string& parent = "");
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::string& path() const noexcept { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

using Bytes = std::vector<std::uint8_t>;

Bytes read_file(const std::string& path);
void write_file(const std::string& path, const Bytes& bytes);

}  // namespace parsl_tl::testing
