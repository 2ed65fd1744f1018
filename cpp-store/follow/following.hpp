// The stores that a server follows.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "followed_store.hpp"

namespace parsl_tl {

struct FollowingOptions {
  std::string folder;                   // of the copies
  StoreId home;                         // the store of the server itself
  std::optional<std::uint64_t> budget;  // bytes of pulled weights; see PulledSegments
  bool replicates = false;
  unsigned most_pulling = 1;  // requests that pull weights at once: fewer than the server's threads
};

/// Thread-safe.
class Following {
 public:
  explicit Following(FollowingOptions options)
      : options_(std::move(options)), pulled_(options_.budget, options_.most_pulling) {}
  ~Following() { stop(); }

  /// Follows one more store from now on. Those that are named first count as nearest.
  void follow(std::string name, Route route, const ConnectionOptions& connection);
  /// Throws kInvalidValue for a name that is not followed.
  void reroute(const std::string& name, Route route);
  void stop();

  using Stores = std::vector<std::shared_ptr<FollowedStore>>;
  Stores stores() const;
  /// A donor, and the followed store that it lives in; null for the server's own.
  struct Found {
    Donor donor;
    std::shared_ptr<FollowedStore> store;
  };
  /// Lets donors of followed stores take the place of those that they beat. Equally good ones are
  /// taken from where they are near: from here, then from the store that was named first.
  void enter(const std::vector<Query>& queries, std::vector<Found>& best) const;
  /// The copy of a server, and the followed store that it is part of; nulls if it is not followed.
  struct Followed {
    std::shared_ptr<FollowedStore> store;
    ServerCopy* copy = nullptr;
  };
  Followed server_with(const StoreId& id) const;
  /// The same of the server in a place of the only store that is followed, of so many servers.
  Followed only_server_at(std::size_t place, std::size_t count) const;
  /// The store that has it as a living model; null if none has.
  std::shared_ptr<FollowedStore> store_of(std::uint64_t id) const;

 private:
  const FollowingOptions options_;
  PulledSegments pulled_;
  mutable std::mutex mutex_;  // guards the next
  Stores stores_;
};

}  // namespace parsl_tl
