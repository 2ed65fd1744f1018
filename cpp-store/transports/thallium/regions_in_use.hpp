// Which memory of clients is in use, so that one that gives up can ask for the end of it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

namespace parsl_tl::mochi {

/// The memory that one call laid open.
class RegionInUse {
 public:
  /// To be asked before each transfer: false if the client has given up. What was begun is ended
  /// by `end`, from any thread.
  bool begin();
  void end();
  /// Lets nothing begin any more, and calls `when_left` once nothing is under way.
  void close(std::function<void()> when_left);

 private:
  std::mutex mutex_;  // guards the rest
  int under_way_ = 0;
  bool is_closed_ = false;
  std::function<void()> when_left_;
};

/// Those of all calls that a server has taken and not yet answered.
class RegionsInUse {
 public:
  using Call = std::pair<std::uint64_t, std::uint64_t>;  // client and number

  std::shared_ptr<RegionInUse> open(Call call);
  void remove(Call call);
  /// Calls `when_left` when nothing uses this call's memory, nor will.
  void close(Call call, std::function<void()> when_left);

 private:
  std::mutex mutex_;  // guards calls_
  std::map<Call, std::shared_ptr<RegionInUse>> calls_;
};

}  // namespace parsl_tl::mochi
