// One page of a list that is in the order of models' ids.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace parsl_tl {

constexpr std::size_t kPageEntries = 50'000;

/// Keeps a page of what comes behind a model; all entries of one model are on one page. True if
/// there is nothing behind it.
template <typename Entry>
bool cut_page(std::vector<Entry>& entries, std::optional<std::uint64_t> after) {
  if (after) std::erase_if(entries, [&](const Entry& entry) { return entry.model_id <= *after; });
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return a.model_id < b.model_id; });
  std::size_t end = std::min(entries.size(), kPageEntries);
  while (end > 0 && end < entries.size() && entries[end].model_id == entries[end - 1].model_id)
    ++end;
  const bool is_last = end == entries.size();
  entries.resize(end);
  return is_last;
}

}  // namespace parsl_tl
