// The stores that the server follows, and how far. Lists have one entry for each of them.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct ListFollowedReply {
  std::vector<std::string> names;     // as the server was given them
  std::vector<std::string> stores;    // their identities; empty as long as none is known
  std::vector<std::string> folders;   // of their copies
  std::vector<std::string> problems;  // why it is cut off, say; empty if all is well
  std::vector<std::uint64_t> models;
  std::vector<std::uint64_t> models_behind;  // stored there and not known here, when last heard
  std::vector<std::uint64_t> bytes_behind;   // of the log
  std::vector<double> seconds_silent;        // since it was heard; negative if it never was
  std::vector<std::uint64_t> bytes_here;     // of weights that are here
  std::vector<std::uint64_t> bytes_pulled;   // since the server started
  std::vector<std::uint64_t> segments_pulled;

  static void fields(auto& self, auto&& field) {
    field("names", self.names);
    field("stores", self.stores);
    field("folders", self.folders);
    field("problems", self.problems);
    field("models", self.models);
    field("models_behind", self.models_behind);
    field("bytes_behind", self.bytes_behind);
    field("seconds_silent", self.seconds_silent);
    field("bytes_here", self.bytes_here);
    field("bytes_pulled", self.bytes_pulled);
    field("segments_pulled", self.segments_pulled);
  }
};

struct ListFollowedRequest {
  static constexpr RequestKind kKind = RequestKind::kListFollowed;
  using Reply = ListFollowedReply;
  static void fields(auto&, auto&&) {}
};

}  // namespace parsl_tl
