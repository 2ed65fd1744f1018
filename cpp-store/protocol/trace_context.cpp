#include "trace_context.hpp"

#include <utility>

namespace parsl_tl {
namespace {

thread_local TraceContext current;

}  // namespace

bool TraceContext::is_set() const noexcept { return trace != decltype(trace){}; }

const TraceContext& current_trace() noexcept { return current; }

TraceContext exchange_trace(const TraceContext& context) noexcept {
  return std::exchange(current, context);
}

}  // namespace parsl_tl
