// A store on one or several servers, as a client sees it: the engine's calls, spread over them.
//
// Model `id` lives on server `id % n`. What is asked of all of them is asked at once and reduced;
// what one knows is asked of that one. Thread-safe. Each file of this folder that is named after
// calls holds them.
#pragma once

#include <unistd.h>

#include "engine.hpp"
#include "flat_models.hpp"
#include "lru_cache.hpp"
#include "remote_model.hpp"
#include "requests/log_state.hpp"
#include "requests/segment_sizes.hpp"
#include "requests/settle.hpp"
#include "weak_cache.hpp"

namespace parsl_tl {

struct PutMessage;

/// What is asked for; see Query, which the servers make of it.
struct RemoteQuery {
  std::span<const std::uint64_t> keys;
  std::span<const double> weights;
};

class RemoteStore {
 public:
  /// One channel and one address for each server, in the order that the store was made with.
  /// `replicas`: of the whole store; they are asked in the name of servers that do not answer.
  RemoteStore(std::vector<std::shared_ptr<Channel>> channels, std::vector<std::string> addresses,
              ConnectionOptions options, const std::vector<Way>& replicas = {});
  ~RemoteStore();

  // identity.cpp
  struct Adopted {
    std::vector<StoreId> before;  // the servers as each knew them; of zeros where none was known
    std::vector<StoreId> stores;  // as they are now
    std::vector<std::uint64_t> lost_models;
    std::vector<std::uint64_t> lost_holds;
  };
  /// Makes these servers the store, in this order, though others were part of it; see
  /// Engine::adopt.
  static Adopted adopt(std::vector<std::shared_ptr<Channel>> channels,
                       std::vector<std::string> addresses, const ConnectionOptions& options,
                       bool only_look);
  /// The identity of each server's store.
  std::vector<std::string> store_ids();
  // put.cpp
  PutResult put(const PutRequest& given);
  void put_architectures(const FlatModels& models);
  // retire.cpp
  std::uint64_t retire(std::uint64_t id);
  // find_donor.cpp
  std::shared_ptr<RemoteModel> find_donor(const RemoteQuery& query, const QueryOptions& options);
  std::vector<Donor> find_donors(const std::vector<RemoteQuery>& queries,
                                 const QueryOptions& options, std::vector<double>& scores);
  // open_model.cpp
  std::shared_ptr<RemoteModel> pin(std::uint64_t id);
  // models.cpp
  Model model(std::uint64_t id);
  std::string architecture(std::uint64_t id);
  std::uint64_t reference_count(std::uint64_t owner, std::uint64_t key);
  bool contains(std::uint64_t id);
  std::uint64_t num_models();
  // lineage.cpp
  std::vector<std::uint64_t> ancestors(std::uint64_t id);
  std::vector<std::uint64_t> descendants(std::uint64_t id);
  // reports.cpp
  std::shared_ptr<arrow::Table> models();
  std::map<std::string, std::uint64_t> stats();
  VerifyReport verify();
  // maintenance.cpp
  /// Lets go of what clients held that died before they stored the model, or while they retired it.
  /// Returns the bytes that were freed.
  std::uint64_t release_orphans();
  CompactReport compact();
  void fold();
  // following.cpp: of one server each
  LogStateReply log_state(std::size_t server, const LogStamp& known);
  void read_log(std::size_t server, std::uint64_t generation, std::uint64_t position,
                std::span<std::uint8_t> bytes);
  SegmentSizesReply segment_sizes(std::size_t server, std::vector<std::uint64_t> owners);
  /// Bytes of a file of that size. Throws kStale if it has another one by now.
  void read_segment(std::size_t server, std::uint64_t owner, std::uint64_t size,
                    std::uint64_t offset, std::span<std::uint8_t> bytes);

  std::size_t num_servers() const noexcept { return parts_->connections.size(); }
  /// Whether the server's files are mapped here. Asks it, if nobody did before.
  bool is_mapped(std::size_t server) { return parts_->connections.at(server)->is_mapped(); }
  /// Whether a replica answers in the server's name. Asks, likewise.
  bool is_stood_in_for(std::size_t server) {
    return parts_->connections.at(server)->facts().stands_in;
  }
  /// Servers keep nothing for this client any more; one that is gone does not matter.
  void close();

 private:
  using Connections = std::vector<std::unique_ptr<ServerConnection>>;
  Connections& connections() const noexcept { return parts_->connections; }
  ServerConnection& home(std::uint64_t id) const { return parts_->home(id); }
  bool is_alone() const noexcept { return parts_->connections.size() == 1; }
  void require_open() const;
  void require_writable() const;
  /// The same request to all servers at once; their replies in the servers' order.
  template <typename Request>
  std::vector<typename Request::Reply> ask_all(const Request& request) {
    std::vector<typename Request::Reply> replies(connections().size());
    parts_->fanout->run(replies.size(),
                        [&](std::size_t i) { replies[i] = connections()[i]->ask(request); });
    return replies;
  }

  std::shared_ptr<const Composition> composition(std::uint64_t id);
  // identity.cpp
  void agree();
  // holds.cpp
  struct ServerHold;
  std::vector<HoldRequest> add_inherited(PutRequest& request);
  void begin_put(std::uint64_t model_id, std::uint64_t attempt);
  void take_holds(const std::vector<HoldRequest>& holds, std::uint64_t attempt);
  void take_hold(const HoldRequest& hold, std::uint64_t attempt);
  void drop_holds(const std::vector<HoldRequest>& holds,
                  const std::vector<std::uint64_t>& attempts);
  void give_up_abandoned();
  std::vector<ServerHold> list_holds();
  std::uint64_t release_unless_needed(const std::vector<ServerHold>& holds, SettleHow how);
  std::uint64_t release_holds(std::uint64_t model_id, const std::vector<std::uint32_t>& servers);
  // references.cpp
  std::vector<std::string> wrong_references();
  PutResult put_once(const PutRequest& request, const std::vector<HoldRequest>& holds,
                     PutMessage& message, const Bulk& bulk, std::vector<std::uint64_t>& attempts);
  PutResult send(const PutRequest& request, const PutMessage& message, const Bulk& bulk);
  bool is_stored_already(const PutRequest& request);
  /// The model that wins a query, and what its server tells of it; nothing if there is none.
  struct Best;
  std::optional<Best> ask_for_best(const RemoteQuery& query, const QueryOptions& options);
  std::shared_ptr<RemoteModel> match_of(const Best& best);
  std::shared_ptr<RemoteModel> open(std::uint64_t id);
  /// How a server is to keep a model readable.
  struct Lease {
    std::uint64_t number = 0;
    bool is_kept = false;     // not if the files are mapped here
    std::uint64_t epoch = 0;  // of the server, before it was asked
  };
  Lease new_lease(ServerConnection& connection);
  std::shared_ptr<RemoteModel> opened(const Composition& composition, const OpenModelReply& reply,
                                      const Lease& lease);
  std::shared_ptr<RemoteModel> open_living(std::uint64_t id);
  void open_layers(RemoteModel& model, const Composition& composition, const OpenModelReply& first,
                   std::uint32_t home_index);
  std::shared_ptr<Segment> segment(ServerConnection& connection, std::uint64_t owner,
                                   const OpenModelReply& reply);
  std::shared_ptr<RemoteModel> find_recent(std::uint64_t id);
  void forget(std::uint64_t id);
  /// Forgets what is remembered under the id if it was stored at another time.
  void forget_unless(std::uint64_t id, std::int64_t created_ns);
  /// Does what takes several questions. What one server began and another one ended, since it was
  /// started anew or another one stands in for it, is begun again.
  template <typename Work>
  auto with_one_answerer(Work work) {
    for (int attempt = 1;; ++attempt) {
      const std::uint64_t epochs = parts_->epochs();
      try {
        auto result = work();
        if (parts_->epochs() == epochs || attempt == kAnswererAttempts) return result;
      } catch (const StoreException& error) {
        if (parts_->epochs() == epochs || attempt == kAnswererAttempts) throw;
      }
    }
  }

  static constexpr std::size_t kMostCompositions = 4096;
  static constexpr int kAnswererAttempts = 8;

  const ConnectionOptions options_;
  std::shared_ptr<ClientParts> parts_;
  std::atomic<bool> closed_ = false;
  const ::pid_t process_ = ::getpid();

  LruCache<const Composition> compositions_{kMostCompositions};
  WeakCache<Segment> segments_;
  LruCache<RemoteModel> recent_{kRecentModels};
  // Those that somebody holds as a match: they can be read even if they are retired.
  WeakCache<RemoteModel> matches_;

  std::mutex listing_mutex_;
  std::mutex abandoned_mutex_;  // guards the next
  struct Abandoned {
    std::vector<HoldRequest> holds;
    std::vector<std::uint64_t> attempts;
  };
  std::vector<Abandoned> abandoned_;  // puts of which nobody knows what came
};

}  // namespace parsl_tl
