#include "following.hpp"

#include <limits>

#include "errors.hpp"

namespace parsl_tl {

void Following::follow(std::string name, Route route, const ConnectionOptions& connection) {
  auto store = std::make_shared<FollowedStore>(
      std::move(name), std::move(route),
      FollowOptions{options_.folder, options_.home, options_.replicates, connection}, pulled_);
  store->start();
  const std::lock_guard guard(mutex_);
  stores_.push_back(std::move(store));
}

void Following::reroute(const std::string& name, Route route) {
  for (const auto& store : stores()) {
    if (store->name() == name) return store->reroute(std::move(route));
  }
  throw StoreException(ErrorCode::kInvalidValue, "no store is followed at " + name);
}

void Following::stop() {
  for (const auto& store : stores()) store->stop();
}

Following::Stores Following::stores() const {
  const std::lock_guard guard(mutex_);
  return stores_;
}

void Following::enter(const std::vector<Query>& queries, std::vector<Found>& best) const {
  std::vector<Donor> donors(best.size());
  for (const auto& store : stores()) {
    for (std::size_t i = 0; i < best.size(); ++i) {
      donors[i] = best[i].donor;
      // So that nothing that is as good wins, whatever its quality.
      donors[i].quality = std::numeric_limits<double>::infinity();
    }
    store->improve_donors(queries, donors);
    for (std::size_t i = 0; i < best.size(); ++i) {
      const Donor& rival = best[i].donor;
      if (donors[i].found && (!rival.found || donors[i].total > rival.total)) {
        best[i] = {donors[i], store};
      }
    }
  }
}

Following::Followed Following::server_with(const StoreId& id) const {
  for (const auto& store : stores()) {
    if (ServerCopy* const copy = store->copy_of(id)) return {store, copy};
  }
  return {};
}

Following::Followed Following::only_server_at(std::size_t place, std::size_t count) const {
  const Stores all = stores();
  if (all.size() != 1) return {};
  return {all.front(), all.front()->copy_at(place, count)};
}

std::shared_ptr<FollowedStore> Following::store_of(std::uint64_t id) const {
  for (const auto& store : stores()) {
    if (store->holder_of(id) != nullptr) return store;
  }
  return nullptr;
}

}  // namespace parsl_tl
