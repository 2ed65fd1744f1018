// Log files: as they are behind a right beginning, and as the payload of a frame that is whole.
#include <arrow/buffer.h>

#include <cstdlib>

#include "errors.hpp"
#include "log.hpp"
#include "record.hpp"
#include "wrap.hpp"

namespace parsl_tl::fuzz {
namespace {

void read_log(Input bytes) {
  const MemoryFile file(bytes);
  answer([&] {
    Log log(file.path(), true);
    for (std::uint64_t offset = log.position(); const auto payload = log.next();
         offset = log.position()) {
      if (!log.read_frame(offset)->Equals(*payload)) std::abort();
      answer([&] { decode(payload); });
    }
    const LogStamp end = log.stamp();
    log.cut_torn_tail();
    if (log.size() != end.position) std::abort();
    log.append(arrow::Buffer("again"), false);
    log.seek(end);
    if (log.next() == nullptr) std::abort();
  });
  // Any offset may come from a snapshot.
  std::uint64_t offset = 0;
  for (std::size_t i = 0; i < bytes.size() && i < 8; ++i) offset = offset << 8 | bytes[i];
  answer([&] { Log(file.path(), false).read_frame(offset); });
}

/// As they come from another store, to be taken into a copy of its log.
void copy_log(Input bytes) {
  answer([&] {
    if (Log::whole_frames(bytes) > bytes.size()) std::abort();
  });
  answer([&] {
    if (Log::schema_end(bytes) > bytes.size()) std::abort();
  });
}

}  // namespace
}  // namespace parsl_tl::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parsl_tl::fuzz;
  static const Bytes beginning = log_beginning();
  const Input input(data, size);
  read_log(input);
  copy_log(input);
  Bytes behind = beginning;
  behind.insert(behind.end(), input.begin(), input.end());
  read_log(behind);
  const Bytes frame = log_frame(input);
  Bytes framed = beginning;
  framed.insert(framed.end(), frame.begin(), frame.end());
  read_log(framed);
  copy_log(framed);
  copy_log(frame);
  return 0;
}
