#include "peers.hpp"

#include "errors.hpp"

namespace parsl_tl::mochi {

Peer::~Peer() {
  if (!instance_->has_ended()) {
    if (is_cut_) margo_addr_set_remove(instance_->margo(), address_);
    margo_addr_free(instance_->margo(), address_);
  }
  end_->set(HG_SUCCESS);
}

std::shared_ptr<Peer> Peers::find(Instance& instance, const std::string& address,
                                  TimePoint deadline) {
  std::unique_lock lock(mutex_);
  Entry& entry = entries_[address];  // stays where it is
  drop_if_cut(entry);
  // Mercury has one entry for an address: a new one would be the old one, about to vanish.
  while (!entry.peer && entry.end_of_last) {
    const auto end_of_last = entry.end_of_last;
    lock.unlock();
    if (!end_of_last->wait_until(deadline)) {
      throw StoreException(ErrorCode::kUnreachable, "its last connection is still in use");
    }
    lock.lock();
    if (entry.end_of_last == end_of_last) entry.end_of_last.reset();
    drop_if_cut(entry);
  }
  if (!entry.peer) {
    hg_addr_t found = HG_ADDR_NULL;
    const hg_return_t result = margo_addr_lookup(instance.margo(), address.c_str(), &found);
    if (result != HG_SUCCESS) {
      throw StoreException(ErrorCode::kUnreachable, HG_Error_to_string(result));
    }
    entry.peer = std::make_shared<Peer>(instance.shared_from_this(), found);
  }
  return entry.peer;
}

void Peers::drop_if_cut(Entry& entry) {
  if (!entry.peer || !entry.peer->is_cut()) return;
  entry.end_of_last = entry.peer->end();
  entry.peer.reset();
}

void Peers::drop(const std::string& address) {
  const std::lock_guard guard(mutex_);
  const auto found = entries_.find(address);
  if (found != entries_.end()) drop_if_cut(found->second);
}

void Peers::clear() {
  const std::lock_guard guard(mutex_);
  entries_.clear();
}

}  // namespace parsl_tl::mochi
