#include "handlers.hpp"

namespace parsl_tl {

StatsReply handle(CallContext& call, const StatsRequest&) {
  StatsReply reply;
  for (const auto& [name, value] : call.engine.stats()) {
    reply.names.push_back(name);
    reply.values.push_back(value);
  }
  return reply;
}

}  // namespace parsl_tl
