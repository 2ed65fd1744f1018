// Parents and children: what the catalog knows of models that are there, and of those that were.
#include <algorithm>
#include <deque>
#include <unordered_map>
#include <unordered_set>

#include "catalog.hpp"

namespace parsl_tl {

std::vector<std::uint64_t> Catalog::ancestors(std::uint64_t id) const {
  const auto parent_of = [this](std::uint64_t model) -> std::optional<std::uint64_t> {
    if (const auto found = parent_of_.find(model); found != parent_of_.end()) return found->second;
    const auto used = base_ ? base_->find_used(model) : std::nullopt;
    return used ? used->parent : std::nullopt;
  };
  std::vector<std::uint64_t> line;
  std::unordered_set<std::uint64_t> seen{id};
  for (auto parent = parent_of(id); parent; parent = parent_of(*parent)) {
    if (!seen.insert(*parent).second) break;  // ids are free-form: two models may name each other
    line.push_back(*parent);
  }
  return line;
}

std::vector<LineageLink> Catalog::links_below(std::span<const std::uint64_t> ids) const {
  std::unordered_map<std::uint64_t, std::vector<std::uint64_t>> children_of;
  for_each_used([&](std::uint64_t child, std::optional<std::uint64_t> parent, bool) {
    if (parent) children_of[*parent].push_back(child);
  });
  std::vector<LineageLink> links;
  std::unordered_set<std::uint64_t> seen(ids.begin(), ids.end());
  std::deque<std::uint64_t> open(ids.begin(), ids.end());
  while (!open.empty()) {
    const std::uint64_t parent = open.front();
    open.pop_front();
    const auto children = children_of.find(parent);
    if (children == children_of.end()) continue;
    for (const std::uint64_t child : children->second) {
      if (!seen.insert(child).second) continue;
      links.push_back({child, parent});
      open.push_back(child);
    }
  }
  return links;
}

std::vector<std::uint64_t> descendants_in(const std::vector<LineageLink>& links, std::uint64_t id) {
  std::unordered_map<std::uint64_t, std::vector<std::uint64_t>> children_of;
  for (const LineageLink& link : links) children_of[link.parent].push_back(link.child);
  std::vector<std::uint64_t> found;
  std::unordered_set<std::uint64_t> seen{id};
  std::deque<std::uint64_t> open{id};
  while (!open.empty()) {
    const auto children = children_of.find(open.front());
    open.pop_front();
    if (children == children_of.end()) continue;
    std::sort(children->second.begin(), children->second.end());
    for (const std::uint64_t child : children->second) {
      if (!seen.insert(child).second) continue;
      found.push_back(child);
      open.push_back(child);
    }
  }
  return found;
}

}  // namespace parsl_tl
