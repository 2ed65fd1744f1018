// Whose work a request is part of, for who records spans: a trace and a span of it, as in the W3C's
// Trace Context. A client's calls say it to the servers.
#pragma once

#include <array>
#include <cstdint>

namespace parsl_tl {

struct TraceContext {
  std::array<std::uint8_t, 16> trace{};  // zeros: nobody records
  std::array<std::uint8_t, 8> span{};

  bool is_set() const noexcept;
  bool operator==(const TraceContext&) const noexcept = default;
};

/// What this thread works for; nobody's at first.
const TraceContext& current_trace() noexcept;
/// Sets it, and gives what it was.
TraceContext exchange_trace(const TraceContext& context) noexcept;

/// What this thread works for until the end of the scope.
class TraceScope {
 public:
  explicit TraceScope(const TraceContext& context) noexcept : before_(exchange_trace(context)) {}
  ~TraceScope() { exchange_trace(before_); }
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

 private:
  const TraceContext before_;
};

}  // namespace parsl_tl
