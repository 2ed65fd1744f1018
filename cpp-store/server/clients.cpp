#include "clients.hpp"

#include <arrow/record_batch.h>

#include <algorithm>
#include <string>

#include "errors.hpp"

namespace parsl_tl {
namespace {

// Whoever sends a random client number with each request must not fill the memory.
constexpr std::size_t kMostClients = 100'000;

}  // namespace

std::list<Client::Lease>::iterator Client::find_lease(std::uint64_t number) {
  return std::find_if(leases_.begin(), leases_.end(),
                      [number](const Lease& lease) { return lease.number == number; });
}

void Client::keep(std::uint64_t lease, std::shared_ptr<PinnedModel> pinned, std::size_t most) {
  std::list<Lease> gone;  // unmapped when nobody waits for it
  const std::lock_guard guard(mutex_);
  if (const auto found = find_lease(lease); found != leases_.end()) {
    gone.splice(gone.end(), leases_, found);
  }
  leases_.push_back({lease, std::move(pinned)});
  if (leases_.size() > most) gone.splice(gone.end(), leases_, leases_.begin());
}

void Client::let_go(std::span<const std::uint64_t> leases) {
  std::list<Lease> gone;
  const std::lock_guard guard(mutex_);
  for (const std::uint64_t lease : leases) {
    const auto found = find_lease(lease);
    if (found != leases_.end()) gone.splice(gone.end(), leases_, found);
  }
}

void Client::forget_all() {
  std::list<Lease> gone;
  std::shared_ptr<arrow::RecordBatch> listing;
  const std::lock_guard guard(mutex_);
  gone.swap(leases_);
  listing.swap(listing_);
}

std::shared_ptr<PinnedModel> Client::find(std::uint64_t model_id, std::int64_t created_ns) {
  const std::lock_guard guard(mutex_);
  const auto found = std::find_if(leases_.rbegin(), leases_.rend(), [&](const Lease& lease) {
    const PinnedModel& pinned = *lease.pinned;
    return pinned.id == model_id && (created_ns == 0 || pinned.created_ns == created_ns);
  });
  return found == leases_.rend() ? nullptr : found->pinned;
}

std::size_t Client::num_pinned() {
  const std::lock_guard guard(mutex_);
  return leases_.size();
}

std::shared_ptr<arrow::RecordBatch> Client::listing() {
  const std::lock_guard guard(mutex_);
  return listing_;
}

void Client::set_listing(std::shared_ptr<arrow::RecordBatch> table) {
  const std::lock_guard guard(mutex_);
  listing_.swap(table);
}

std::shared_ptr<Client> Clients::heard_from(const ClientId& id) {
  const auto now = Clock::now();
  const std::lock_guard guard(mutex_);
  if (now >= next_look_) drop_silent(now);
  auto& client = clients_[id];
  if (client == nullptr) client = std::make_shared<Client>();
  client->heard_ = now;
  return client;
}

void Clients::drop_silent(Clock::time_point now) {
  const auto keep_for = clients_.size() < kMostClients ? limits_.silence : std::chrono::seconds(1);
  std::erase_if(clients_, [&](const auto& entry) {
    return entry.second->bytes_in_flight_ == 0 && entry.second->heard_ + keep_for < now;
  });
  next_look_ = now + std::chrono::seconds(1);
}

Clients::Flight Clients::admit(const std::shared_ptr<Client>& client, std::uint64_t bytes) {
  const std::lock_guard guard(mutex_);
  const std::uint64_t most =
      most_bytes_ == 0 ? limits_.bytes_in_flight : std::min(most_bytes_, limits_.bytes_in_flight);
  if (bytes > most) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "a request with " + std::to_string(bytes) +
                             " bytes of weights; this server takes at most " +
                             std::to_string(most));
  }
  if (bytes > limits_.bytes_in_flight - client->bytes_in_flight_ ||
      (most_bytes_ != 0 && bytes > most_bytes_ - bytes_in_flight_)) {
    throw StoreException(ErrorCode::kBusy,
                         "too many bytes are on their way to or from the server; "
                         "try again later, or raise its limits");
  }
  client->bytes_in_flight_ += bytes;
  bytes_in_flight_ += bytes;
  Flight flight;
  flight.clients_ = this;
  flight.client_ = client;
  flight.bytes_ = bytes;
  return flight;
}

Clients::Flight::Flight(Flight&& other) noexcept
    : clients_(std::exchange(other.clients_, nullptr)),
      client_(std::move(other.client_)),
      bytes_(other.bytes_) {}

Clients::Flight::~Flight() {
  if (clients_ == nullptr) return;
  const std::lock_guard guard(clients_->mutex_);
  client_->bytes_in_flight_ -= bytes_;
  clients_->bytes_in_flight_ -= bytes_;
}

std::uint64_t Clients::bytes_in_flight() {
  const std::lock_guard guard(mutex_);
  return bytes_in_flight_;
}

std::size_t Clients::count() {
  const std::lock_guard guard(mutex_);
  return clients_.size();
}

std::size_t Clients::num_pinned() {
  const std::lock_guard guard(mutex_);
  std::size_t sum = 0;
  for (const auto& [id, client] : clients_) sum += client->num_pinned();
  return sum;
}

}  // namespace parsl_tl
