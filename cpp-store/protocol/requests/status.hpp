// What a server has to tell about itself. Lists have one entry for each kind of request.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct StatusReply {
  std::string version;
  std::uint64_t process_id = 0;
  std::string host;
  std::string folder;
  std::string durability;
  std::uint32_t server_index = 0;
  std::uint32_t server_count = 0;
  std::string store;  // its identity
  double seconds_up = 0.0;
  std::uint64_t models = 0;
  std::uint64_t bytes_live = 0;
  std::uint64_t bytes_segments = 0;
  std::uint64_t bytes_memory = 0;  // resident
  std::uint64_t memory_limit = 0;  // 0: none
  std::uint64_t clients = 0;       // heard from in the last minutes
  std::uint64_t models_pinned = 0;
  std::uint64_t bytes_in_flight = 0;
  double requests_per_second = 0.0;  // in the last ten seconds
  std::uint64_t bytes_received = 0;  // bulk data
  std::uint64_t bytes_sent = 0;
  std::vector<std::string> names;
  std::vector<std::uint64_t> counts;
  std::vector<std::uint64_t> errors;
  std::vector<double> mean_us;
  std::vector<double> p50_us;
  std::vector<double> p99_us;
  std::vector<double> max_us;

  static void fields(auto& self, auto&& field) {
    field("version", self.version);
    field("process_id", self.process_id);
    field("host", self.host);
    field("folder", self.folder);
    field("durability", self.durability);
    field("server_index", self.server_index);
    field("server_count", self.server_count);
    field("store", self.store);
    field("seconds_up", self.seconds_up);
    field("models", self.models);
    field("bytes_live", self.bytes_live);
    field("bytes_segments", self.bytes_segments);
    field("bytes_memory", self.bytes_memory);
    field("memory_limit", self.memory_limit);
    field("clients", self.clients);
    field("models_pinned", self.models_pinned);
    field("bytes_in_flight", self.bytes_in_flight);
    field("requests_per_second", self.requests_per_second);
    field("bytes_received", self.bytes_received);
    field("bytes_sent", self.bytes_sent);
    field("names", self.names);
    field("counts", self.counts);
    field("errors", self.errors);
    field("mean_us", self.mean_us);
    field("p50_us", self.p50_us);
    field("p99_us", self.p99_us);
    field("max_us", self.max_us);
  }
};

struct StatusRequest {
  static constexpr RequestKind kKind = RequestKind::kStatus;
  using Reply = StatusReply;
  static void fields(auto&, auto&&) {}
};

}  // namespace parsl_tl
