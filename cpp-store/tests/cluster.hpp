// Servers of one store in this process, clients of them over loopbacks, and what each can do alone.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "loopback.hpp"
#include "remote_store.hpp"
#include "server.hpp"

namespace parsl_tl::testing {

/// Options of a client that has little time to lose.
ConnectionOptions quick_options();

class Cluster {
 public:
  Cluster(const std::string& folder, std::uint32_t count, ServerOptions options = {},
          std::uint64_t seed = 1);

  std::unique_ptr<RemoteStore> connect(const ConnectionOptions& options = quick_options());
  /// Channels and addresses, for clients that name the servers in another way.
  std::vector<std::shared_ptr<Channel>> channels() const;
  static std::vector<std::string> addresses(std::size_t count);

  Engine& engine(std::size_t i) { return *engines_.at(i); }
  Server& server(std::size_t i) { return *servers_.at(i); }
  Failures& failures() { return *failures_; }
  std::size_t size() const noexcept { return servers_.size(); }

  void stop(std::size_t i);
  void start(std::size_t i);
  void restart(std::size_t i);
  /// Starts again without anything that was stored.
  void restart_empty(std::size_t i);
  /// Folds, compacts, or restarts one of them.
  void disturb(Random& random);
  /// Checks every reference and every checksum on all of them.
  void verify();

 private:
  std::string folder_of(std::size_t i) const;

  const std::string folder_;
  const ServerOptions options_;
  std::shared_ptr<Failures> failures_;
  std::vector<std::shared_ptr<Loopback>> loopbacks_;
  std::vector<std::shared_ptr<Engine>> engines_;
  std::vector<std::shared_ptr<Server>> servers_;
};

}  // namespace parsl_tl::testing
