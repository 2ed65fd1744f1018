// A store that a server follows: copies of its servers' logs, kept up by a thread, and the weights
// that were pulled from it.
//
// What is known stays known when the other store cannot be reached; it is followed further, from
// where the copies end, when it can. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "server_copy.hpp"

namespace parsl_tl {

struct FollowOptions {
  std::string folder;       // in which each server's copy has one, named after its identity
  StoreId home;             // who follows
  bool replicates = false;  // brings all segments here, needed or not
  ConnectionOptions connection;
};

/// The way to a store's servers, in their order.
struct Route {
  std::vector<std::shared_ptr<Channel>> channels;
  std::vector<std::string> addresses;
  std::optional<Token> token;
};

class FollowedStore {
 public:
  FollowedStore(std::string name, Route route, FollowOptions options, PulledSegments& pulled);
  ~FollowedStore();
  FollowedStore(const FollowedStore&) = delete;
  FollowedStore& operator=(const FollowedStore&) = delete;

  /// Follows in a thread of its own, until `stop`.
  void start();
  void stop();
  /// The servers are found elsewhere from now on.
  void reroute(Route route);
  /// Follows once, to where the logs end now, and pulls all segments if it replicates. Of several
  /// servers, the copies are of one moment. Throws what is in the way; kBusy if the servers are
  /// written to without a pause.
  void follow_to_end();

  /// Improves the donor for each query by models of this store; there are none before the first
  /// copy is there.
  void improve_donors(const std::vector<Query>& queries, std::span<Donor> donors);
  /// The copy that has the model, if it is a living one of this store.
  ServerCopy* holder_of(std::uint64_t id);
  /// The model with its tensors; they are pulled if they are not here. Throws kNotFound if it was
  /// retired, kIo if its weights are neither here nor to be had.
  std::shared_ptr<PinnedModel> pin(std::uint64_t id);
  /// The same as one of its servers has it: the model, or what it holds there, with the tensors
  /// that lie there.
  std::shared_ptr<PinnedModel> pin_at(std::size_t place, std::uint64_t id);
  /// The copy of a server; null if it is none of this store's, or not here yet.
  ServerCopy* copy_of(const StoreId& server);
  /// The copy of the server in a place, if the store has so many.
  ServerCopy* copy_at(std::size_t place, std::size_t count);
  /// Retires the model where it lives. Returns the bytes that were freed there.
  std::uint64_t retire(std::uint64_t id);

  const std::string& name() const noexcept { return name_; }
  std::vector<std::string> folders();
  std::vector<Engine*> engines();
  struct State {
    std::string store;
    std::vector<std::string> folders;
    std::string problem;
    std::uint64_t models = 0;
    std::uint64_t models_behind = 0;
    std::uint64_t bytes_behind = 0;
    double seconds_silent = -1.0;
    std::uint64_t bytes_here = 0;
    std::uint64_t bytes_pulled = 0;
    std::uint64_t segments_pulled = 0;
  };
  State state();

 private:
  using Copies = std::vector<std::unique_ptr<ServerCopy>>;
  struct Needed {
    std::size_t at = 0;  // the copy that knows the model
    std::vector<PulledSegments::Use> uses;
    std::vector<ServerCopy*> copies;  // one for each
  };

  std::string folder_of(const StoreId& server) const;
  void open_known();
  std::shared_ptr<Copies> copies();
  std::shared_ptr<RemoteStore> connect(bool read_only);
  std::shared_ptr<RemoteStore> leader();
  std::shared_ptr<Copies> open_copies(RemoteStore& leader);
  bool step();
  bool step_or_again();
  void pull_missing();
  bool is_whole();
  void refuse_after(std::chrono::steady_clock::time_point deadline);
  void run();
  void note(const std::string& problem);
  std::string problem();
  static Needed needed_by(Copies& copies, std::uint64_t id, std::optional<std::size_t> place);
  std::shared_ptr<PinnedModel> pin(std::uint64_t id, std::optional<std::size_t> place);
  /// Whether a segment that was not known to be here is.
  bool find(const Needed& needed);
  void drop(const Needed& needed);
  void pull(const Needed& needed);
  void catch_up();
  std::shared_ptr<PinnedModel> pin_here(Copies& copies, const Needed& needed, std::uint64_t id,
                                        bool is_whole);

  const std::string name_;
  const FollowOptions options_;
  PulledSegments& pulled_;

  std::mutex step_mutex_;  // one step at a time
  std::mutex mutex_;       // guards the next seven
  Route route_;
  std::shared_ptr<Copies> copies_;
  std::shared_ptr<RemoteStore> leader_;
  std::shared_ptr<RemoteStore> writer_;
  std::string problem_;
  std::optional<std::chrono::steady_clock::time_point> heard_;
  bool stop_ = false;
  std::condition_variable wake_;
  std::thread thread_;
};

}  // namespace parsl_tl
