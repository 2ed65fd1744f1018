// The intent: which segment files the writer at work may leave behind if it dies.
//
// A put publishes its segment before it appends to the log, a retirement removes segments after it;
// a death in between would leave files that belong to nobody. The writer, holding the exclusive
// lock, names them here first, so that the next one need not look through the whole folder.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "file.hpp"

namespace parsl_tl {

class Intent {
 public:
  explicit Intent(const std::string& path);

  void declare(std::span<const std::uint64_t> owners);
  void clear();
  /// What the last writer did not come to clear.
  std::vector<std::uint64_t> pending() const;

 private:
  File file_;
};

}  // namespace parsl_tl
