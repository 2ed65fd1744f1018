// Calls that are under way, watched by a thread of their own: see stalled_connections.hpp for why.
#pragma once

#include <chrono>
#include <list>

#include "address.hpp"

namespace parsl_tl {

/// A call that is watched for as long as this lives. If it is not over some time after its timeout,
/// connections to its server that stall are cut, which ends it.
class WatchedCall {
 public:
  struct Entry {
    const FlightAddress* address;
    std::chrono::steady_clock::time_point due;
  };

  WatchedCall(const FlightAddress& address, std::chrono::milliseconds timeout);
  ~WatchedCall();
  WatchedCall(const WatchedCall&) = delete;
  WatchedCall& operator=(const WatchedCall&) = delete;

 private:
  std::list<Entry>::iterator entry_;
};

}  // namespace parsl_tl
