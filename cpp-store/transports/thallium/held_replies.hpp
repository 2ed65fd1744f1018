// Replies that did not fit into their answers, until their clients fetch them.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "completion.hpp"
#include "regions_in_use.hpp"

namespace parsl_tl::mochi {

class HeldReplies {
 public:
  /// Keeps it until it is taken, or `until` this time. What nobody took in time goes with the next
  /// one.
  void hold(RegionsInUse::Call call, std::string reply, TimePoint until);
  /// Null if there is none.
  std::shared_ptr<const std::string> take(RegionsInUse::Call call);

 private:
  struct Held {
    std::shared_ptr<const std::string> reply;
    TimePoint until;
  };

  std::mutex mutex_;  // guards replies_
  std::map<RegionsInUse::Call, Held> replies_;
};

}  // namespace parsl_tl::mochi
