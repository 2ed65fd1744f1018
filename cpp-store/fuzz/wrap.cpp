#include "wrap.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "checksum.hpp"
#include "errors.hpp"
#include "log.hpp"
#include "scratch.hpp"
#include "snapshot.hpp"

namespace parsl_tl::fuzz {
namespace {

// Arrow's own allocator would hide its buffers from the sanitizers.
[[maybe_unused]] const int kSystemPool = ::setenv("ARROW_DEFAULT_MEMORY_POOL", "system", 0);

constexpr std::size_t kSegmentHeader = 64;

}  // namespace

MemoryFile::MemoryFile(Input bytes) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
  if (fd_ < 0) throw_errno(errno, "cannot make", "a file in memory");
  if (::write(fd_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
    throw_errno(errno, "cannot write", "a file in memory");
  }
}

MemoryFile::~MemoryFile() { ::close(fd_); }

void answer(const std::function<void()>& call) {
  try {
    call();
  } catch (const StoreException&) {
  }
}

Bytes log_beginning() {
  const testing::Scratch scratch;
  Log::create(scratch / "log");
  return testing::read_file(scratch / "log");
}

Bytes log_frame(Input payload) {
  struct {
    char magic[4] = {'P', 'T', 'L', 'R'};
    std::uint32_t length;
    std::uint64_t checksum;
  } header;
  header.length = static_cast<std::uint32_t>(payload.size());
  header.checksum = checksum(payload.data(), payload.size());
  Bytes frame((sizeof header + payload.size() + 7) / 8 * 8, 0);
  std::memcpy(frame.data(), &header, sizeof header);
  std::copy(payload.begin(), payload.end(), frame.begin() + sizeof header);
  return frame;
}

Bytes sealed_segment(Input file, std::uint64_t model_id) {
  Bytes sealed(file.begin(), file.end());
  if (sealed.size() < kSegmentHeader) return sealed;
  std::uint64_t numbers[4];  // model, directory's offset, size and checksum; behind the magic
  std::memcpy(sealed.data(), "PTLSEG03", 8);
  std::memcpy(numbers, sealed.data() + 8, sizeof numbers);
  numbers[0] = model_id;
  if (numbers[1] <= sealed.size()) {
    numbers[2] = sealed.size() - numbers[1];
    numbers[3] = checksum(sealed.data() + numbers[1], numbers[2]);
  }
  std::memcpy(sealed.data() + 8, numbers, sizeof numbers);
  return sealed;
}

Bytes sealed_snapshot(Input file) {
  Bytes sealed(file.begin(), file.end());
  SnapshotHeader header{};
  SectionEntry table[kNumSections];
  if (sealed.size() < sizeof header + sizeof table) return sealed;
  std::memcpy(&header, sealed.data(), sizeof header);
  std::memcpy(table, sealed.data() + sizeof header, sizeof table);
  std::memcpy(header.magic, kSnapshotMagic, sizeof kSnapshotMagic);
  for (SectionEntry& entry : table) {
    entry.offset = entry.offset / kSnapshotAlignment * kSnapshotAlignment;
    if (entry.offset > sealed.size() || entry.size > sealed.size() - entry.offset) continue;
    entry.checksum = checksum(sealed.data() + entry.offset, entry.size);
  }
  ChecksumStream stream;
  stream.update(&header, offsetof(SnapshotHeader, table_checksum));
  stream.update(table, sizeof table);
  header.table_checksum = stream.digest();
  std::memcpy(sealed.data(), &header, sizeof header);
  std::memcpy(sealed.data() + sizeof header, table, sizeof table);
  // A section that covers the table would now have another checksum; it is refused, as it should.
  return sealed;
}

}  // namespace parsl_tl::fuzz
