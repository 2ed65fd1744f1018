// What all fuzz targets need: inputs as files in memory, with checksums made right, so that the
// fuzzer gets past them to what they protect.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace parsl_tl::fuzz {

using Input = std::span<const std::uint8_t>;
using Bytes = std::vector<std::uint8_t>;

/// A file without a name in any folder; opened by a path of /proc.
class MemoryFile {
 public:
  explicit MemoryFile(Input bytes);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

/// Runs what may refuse its input: a StoreException is an answer, anything else a failure.
void answer(const std::function<void()>& call);

/// A log's file header and schema frame.
Bytes log_beginning();
/// One frame of a log around the payload.
Bytes log_frame(Input payload);
/// A segment of this model, its directory's checksum made right.
Bytes sealed_segment(Input file, std::uint64_t model_id);
/// A snapshot, its sections' and its table's checksums made right.
Bytes sealed_snapshot(Input file);

}  // namespace parsl_tl::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
