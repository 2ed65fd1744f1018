#include "pulled_segments.hpp"

#include <algorithm>

#include "errors.hpp"

namespace parsl_tl {

PulledSegments::Pulling::Pulling(PulledSegments& segments) : segments_(segments) {
  if (segments_.at_work_++ < segments_.most_at_once_) return;
  --segments_.at_work_;
  throw StoreException(ErrorCode::kBusy,
                       "the server pulls weights of followed stores for other requests; try again "
                       "later, or serve with more --threads");
}

void PulledSegments::add(Engine& copy, std::uint64_t owner, std::uint64_t bytes) {
  const std::lock_guard guard(mutex_);
  const Key key{&copy, owner};
  if (const auto known = places_.find(key); known != places_.end()) {
    bytes_ -= known->second->bytes;
    bytes_of_[&copy] -= known->second->bytes;
    order_.erase(known->second);
  }
  places_[key] = order_.insert(order_.end(), {key, bytes});
  bytes_ += bytes;
  bytes_of_[&copy] += bytes;
}

bool PulledSegments::has(const Engine& copy, std::uint64_t owner) const {
  const std::lock_guard guard(mutex_);
  return places_.contains({const_cast<Engine*>(&copy), owner});
}

std::uint64_t PulledSegments::bytes(const Engine& copy) const {
  const std::lock_guard guard(mutex_);
  const auto found = bytes_of_.find(&copy);
  return found == bytes_of_.end() ? 0 : found->second;
}

Owners PulledSegments::owners(const Engine& copy) const {
  const std::lock_guard guard(mutex_);
  Owners owners;
  for (const Entry& entry : order_) {
    if (entry.key.first == &copy) owners.insert(entry.key.second);
  }
  return owners;
}

void PulledSegments::forget(const Engine& copy) {
  const std::lock_guard guard(mutex_);
  for (auto entry = order_.begin(); entry != order_.end();) {
    if (entry->key.first != &copy) {
      ++entry;
      continue;
    }
    bytes_ -= entry->bytes;
    places_.erase(entry->key);
    entry = order_.erase(entry);
  }
  bytes_of_.erase(&copy);
}

void PulledSegments::drop(Engine& copy, std::uint64_t owner) {
  const std::lock_guard guard(mutex_);
  const auto found = places_.find({&copy, owner});
  if (found != places_.end()) remove(found->second);
}

std::list<PulledSegments::Entry>::iterator PulledSegments::remove(
    std::list<Entry>::iterator entry) {
  auto [copy, owner] = entry->key;
  copy->drop_segment(owner);  // first: one that cannot be removed is still here
  bytes_ -= entry->bytes;
  bytes_of_[copy] -= entry->bytes;
  places_.erase(entry->key);
  return order_.erase(entry);
}

void PulledSegments::trim(std::span<const Use> in_use) {
  if (!budget_) return;
  const std::lock_guard guard(mutex_);
  for (auto entry = order_.begin(); entry != order_.end() && bytes_ > *budget_;) {
    const bool is_used = std::any_of(in_use.begin(), in_use.end(), [&](const Use& use) {
      return use.copy == entry->key.first && use.owners.contains(entry->key.second);
    });
    entry = is_used ? std::next(entry) : remove(entry);
  }
}

}  // namespace parsl_tl
