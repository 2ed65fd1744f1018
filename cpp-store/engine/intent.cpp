#include "intent.hpp"

#include <fcntl.h>

#include <algorithm>

namespace parsl_tl {

// The file holds a count and that number of ids, u64 each; the count is written last.

Intent::Intent(const std::string& path) : file_(path, O_RDWR) {}

void Intent::declare(std::span<const std::uint64_t> owners) {
  const std::uint64_t count = owners.size();
  file_.write_at(sizeof count, owners.data(), owners.size_bytes());
  file_.write_at(0, &count, sizeof count);
}

void Intent::clear() {
  constexpr std::uint64_t kNothing = 0;
  file_.write_at(0, &kNothing, sizeof kNothing);
}

std::vector<std::uint64_t> Intent::pending() const {
  std::uint64_t count = 0;
  if (file_.read_at(0, &count, sizeof count) != sizeof count || count == 0) return {};
  const std::uint64_t most = (file_.size() - sizeof count) / sizeof count;
  std::vector<std::uint64_t> owners(std::min(count, most));
  const std::size_t got = file_.read_at(sizeof count, owners.data(), owners.size() * sizeof count);
  owners.resize(got / sizeof count);
  return owners;
}

}  // namespace parsl_tl
