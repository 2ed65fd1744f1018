#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>

#include "handlers.hpp"

namespace parsl_tl {
namespace {

std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::string host_name() {
  utsname info{};
  return ::uname(&info) == 0 ? info.nodename : "";
}

void add_latencies(Server& server, StatusReply& reply) {
  for (const RequestEntry& entry : all_requests()) {
    const LatencyHistogram::Summary summary = server.latencies(entry.place).summary();
    if (summary.count == 0) continue;
    reply.names.emplace_back(entry.name);
    reply.counts.push_back(summary.count);
    reply.errors.push_back(summary.errors);
    reply.mean_us.push_back(summary.mean_us);
    reply.p50_us.push_back(summary.p50_us);
    reply.p99_us.push_back(summary.p99_us);
    reply.max_us.push_back(summary.max_us);
  }
}

}  // namespace

StatusReply handle(CallContext& call, const StatusRequest&) {
  Server& server = call.server;
  StatusReply reply;
  reply.version = server.options().version;
  reply.process_id = static_cast<std::uint64_t>(::getpid());
  reply.host = host_name();
  reply.folder = call.engine.folder();
  reply.durability = server.options().durability;
  reply.server_index = call.engine.membership().index;
  reply.server_count = call.engine.membership().count;
  reply.store = call.engine.store().text();
  reply.seconds_up = std::chrono::duration<double>(Clock::now() - server.started()).count();
  reply.models = call.engine.num_models();
  reply.bytes_live = call.engine.bytes_live();
  reply.bytes_segments = call.engine.bytes_segments();
  reply.bytes_memory = resident_bytes();
  reply.memory_limit = server.options().memory_limit;
  reply.clients = server.clients().count();
  reply.models_pinned = server.clients().num_pinned();
  reply.bytes_in_flight = server.clients().bytes_in_flight();
  reply.requests_per_second = server.requests_per_second();
  reply.bytes_received = server.bytes_received();
  reply.bytes_sent = server.bytes_sent();
  add_latencies(server, reply);
  return reply;
}

}  // namespace parsl_tl
