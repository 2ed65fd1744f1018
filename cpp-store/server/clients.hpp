// What a server keeps for each of its clients: models that stay readable, and bytes in flight.
#pragma once

#include <arrow/type_fwd.h>

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>

#include "engine.hpp"
#include "frame.hpp"
#include "metrics.hpp"

namespace parsl_tl {

struct ClientLimits {
  std::size_t models_pinned = 256;                         // the one opened longest ago goes first
  std::uint64_t bytes_in_flight = std::uint64_t{8} << 30;  // bulk data of requests at work
  std::chrono::seconds silence{600};  // after which nothing is kept for a client any more
};

/// One client. Thread-safe.
class Client {
 public:
  void keep(std::uint64_t lease, std::shared_ptr<PinnedModel> pinned, std::size_t most);
  void let_go(std::span<const std::uint64_t> leases);
  void forget_all();
  /// `created_ns`: when the model was stored; 0 for the one that was opened last.
  std::shared_ptr<PinnedModel> find(std::uint64_t model_id, std::int64_t created_ns);
  std::size_t num_pinned();

  /// The table that the client reads in pages.
  std::shared_ptr<arrow::RecordBatch> listing();
  void set_listing(std::shared_ptr<arrow::RecordBatch> table);

 private:
  friend class Clients;
  struct Lease {
    std::uint64_t number;
    std::shared_ptr<PinnedModel> pinned;
  };
  std::list<Lease>::iterator find_lease(std::uint64_t number);

  std::mutex mutex_;
  std::list<Lease> leases_;  // opened last at the end
  std::shared_ptr<arrow::RecordBatch> listing_;
  std::uint64_t bytes_in_flight_ = 0;  // guarded by the mutex of Clients, like the next
  Clock::time_point heard_;
};

/// All clients that were heard from lately.
class Clients {
 public:
  /// `most_bytes_in_flight` is that of all clients together; 0 for no limit.
  Clients(ClientLimits limits, std::uint64_t most_bytes_in_flight)
      : limits_(limits), most_bytes_(most_bytes_in_flight) {}

  const ClientLimits& limits() const noexcept { return limits_; }
  /// Finds the client, or makes it; now and then drops those that are silent.
  std::shared_ptr<Client> heard_from(const ClientId& id);

  /// Bulk data of one request, counted while it is at work.
  class Flight {
   public:
    Flight() = default;
    ~Flight();
    Flight(Flight&& other) noexcept;
    Flight& operator=(Flight&&) = delete;

   private:
    friend class Clients;
    Clients* clients_ = nullptr;
    std::shared_ptr<Client> client_;
    std::uint64_t bytes_ = 0;
  };
  /// Throws kBusy if the client, or all of them, have too much in flight already; one request alone
  /// is let through if it is within the limit by itself, kInvalidValue if not.
  Flight admit(const std::shared_ptr<Client>& client, std::uint64_t bytes);

  std::uint64_t bytes_in_flight();
  std::size_t count();
  std::size_t num_pinned();

 private:
  void drop_silent(Clock::time_point now);

  const ClientLimits limits_;
  const std::uint64_t most_bytes_;
  std::mutex mutex_;
  std::map<ClientId, std::shared_ptr<Client>> clients_;
  Clock::time_point next_look_;
  std::uint64_t bytes_in_flight_ = 0;
};

}  // namespace parsl_tl
