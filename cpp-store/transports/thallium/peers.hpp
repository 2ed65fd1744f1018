// Other processes, as an instance reaches them.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "instance.hpp"
#include "server_clock.hpp"

namespace parsl_tl::mochi {

/// One of them. Whatever is under way to it holds a shared pointer.
class Peer {
 public:
  /// Takes over the address.
  Peer(std::shared_ptr<Instance> instance, hg_addr_t address)
      : instance_(std::move(instance)), address_(address) {}
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  Instance& instance() const { return *instance_; }
  hg_addr_t address() const { return address_; }
  ServerClock& clock() { return clock_; }

  /// It does not answer: all calls to it give up, and with the last one goes the connection, so
  /// that nothing that was on its way can arrive any more.
  void cut() { is_cut_ = true; }
  bool is_cut() const { return is_cut_; }
  /// Set when nobody has it any more.
  const std::shared_ptr<Completion>& end() const { return end_; }

 private:
  const std::shared_ptr<Instance> instance_;
  const hg_addr_t address_;
  ServerClock clock_;
  std::atomic<bool> is_cut_ = false;
  const std::shared_ptr<Completion> end_ = std::make_shared<Completion>();
};

/// The servers that an instance's clients call: one connection to each, whatever the number of
/// channels.
class Peers {
 public:
  /// Looks the address up if nobody has before. Throws kUnreachable if that fails, or if a peer
  /// that was cut is still in use at the deadline.
  std::shared_ptr<Peer> find(Instance& instance, const std::string& address, TimePoint deadline);
  /// Lets go of a peer that was cut.
  void drop(const std::string& address);
  void clear();

 private:
  struct Entry {
    std::shared_ptr<Peer> peer;
    std::shared_ptr<Completion> end_of_last;  // of a peer that was cut
  };
  static void drop_if_cut(Entry& entry);

  std::mutex mutex_;  // guards entries_
  std::map<std::string, Entry> entries_;
};

}  // namespace parsl_tl::mochi
