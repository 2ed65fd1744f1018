// Replies that did not fit into their answers, until their clients fetch them.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "completion.hpp"
#include "fences.hpp"

namespace parsl_tl::mochi {

class HeldReplies {
 public:
  /// Keeps it until it is taken, or for so long. What nobody took in time goes with the next one.
  void hold(Fences::Call call, std::string reply, TimePoint until);
  /// Null if there is none.
  std::shared_ptr<const std::string> take(Fences::Call call);

 private:
  struct Held {
    std::shared_ptr<const std::string> reply;
    TimePoint until;
  };

  std::mutex mutex_;  // guards replies_
  std::map<Fences::Call, Held> replies_;
};

}  // namespace parsl_tl::mochi
