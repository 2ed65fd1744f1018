// Lines that lead from server to server: each knows the parents of its own models.
#include <unordered_set>

#include "errors.hpp"
#include "remote_store.hpp"
#include "requests/ancestors.hpp"
#include "requests/descendants.hpp"

namespace parsl_tl {

std::vector<std::uint64_t> RemoteStore::ancestors(std::uint64_t id) {
  require_open();
  std::vector<std::uint64_t> line;
  std::unordered_set<std::uint64_t> seen{id};
  for (std::uint64_t last = id;;) {
    const AncestorsReply reply = home(last).ask(AncestorsRequest{last});
    if (!reply.known && last == id) {
      throw StoreException(ErrorCode::kNotFound, "no model " + hex_id(id) + " in this store");
    }
    for (const std::uint64_t ancestor : reply.ancestors) {
      // Ids are free-form: two models may name each other.
      if (!seen.insert(ancestor).second) return line;
      line.push_back(ancestor);
    }
    if (reply.ancestors.empty()) return line;
    last = line.back();
  }
}

std::vector<std::uint64_t> RemoteStore::descendants(std::uint64_t id) {
  require_open();
  if (!home(id).ask(AncestorsRequest{id}).known) {
    throw StoreException(ErrorCode::kNotFound, "no model " + hex_id(id) + " in this store");
  }
  std::vector<LineageLink> links;
  std::unordered_set<std::uint64_t> seen{id};
  // Each round finds the children of models that the round before found on another server.
  for (std::vector<std::uint64_t> open{id}; !open.empty();) {
    const auto replies = ask_all(DescendantsRequest{open});
    open.clear();
    for (const DescendantsReply& reply : replies) {
      if (reply.children.size() != reply.parents.size()) {
        throw StoreException(ErrorCode::kInvalidValue, "malformed reply: a child without a parent");
      }
      for (std::size_t i = 0; i < reply.children.size(); ++i) {
        if (!seen.insert(reply.children[i]).second) continue;
        links.push_back({reply.children[i], reply.parents[i]});
        if (!is_alone()) open.push_back(reply.children[i]);
      }
    }
  }
  return descendants_in(links, id);
}

}  // namespace parsl_tl
